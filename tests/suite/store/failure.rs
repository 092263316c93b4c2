//! When the database fails: an operation that cannot be stored falls alone, and a lost connection comes back.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use store::Error;

use super::harness::{DOMAIN, Fixture, START, on_both, origin, user};

on_both! {
    an_operation_the_database_refuses_falls_alone,
    a_failed_read_of_one_operation_spoils_no_other,
    whatever_connection_is_lost_nothing_acknowledged_is,
}

/// Who may have sessions with the fixture's database.
struct Doors {
    owner: PgConnection,
    database: String,
}

impl Doors {
    fn of(fixture: &Fixture) -> Self {
        let url = fixture.url();
        let (cluster, database) = url.rsplit_once('/').expect("a database");
        let owner = PgConnection::establish(&format!("{cluster}/postgres")).expect("a connection");
        Doors { owner, database: database.to_owned() }
    }

    fn let_in(&mut self, anybody: bool) {
        let statement = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {anybody}", self.database);
        self.owner.batch_execute(&statement).expect("the owner may");
    }

    fn put_out(&mut self) {
        let all = format!(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = '{}'",
            self.database
        );
        self.owner.batch_execute(&all).expect("the owner may");
    }
}

type Write<T> = Box<dyn FnMut(&mut store::Work<'_>) -> Result<T, Error> + Send>;

/// Runs `writes` in one batch: the writer is held up until all of them wait.
async fn in_one_batch<T: Send + 'static>(fixture: &Fixture, writes: Vec<Write<T>>) -> Vec<Result<T, Error>> {
    let (gate, held) = fixture.held(|_| Ok(()));
    gate.entered();
    let answers: Vec<_> =
        writes.into_iter().map(|write| fixture.store.write(fixture.tenant, origin(START), write)).collect();
    assert_eq!(fixture.store.waiting(), answers.len());
    gate.let_go();
    held.await.unwrap();
    let mut outcomes = Vec::new();
    for answer in answers {
        outcomes.push(answer.await);
    }
    outcomes
}

async fn an_operation_the_database_refuses_falls_alone(fixture: Fixture) {
    fixture.execute(if fixture.is_postgres() {
        "ALTER TABLE resource ADD CONSTRAINT no_five CHECK (label <> 'u5')"
    } else {
        "CREATE TRIGGER no_five BEFORE INSERT ON resource WHEN NEW.label = 'u5' \
         BEGIN SELECT RAISE(ABORT, 'no five'); END"
    });
    let mut writes: Vec<Write<_>> = Vec::new();
    for n in 0..10 {
        writes.push(Box::new(move |work| work.create(user(n, &format!("u{n}")))));
    }
    let outcomes = in_one_batch(&fixture, writes).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match n {
            5 => assert!(matches!(outcome, Err(Error::Unavailable(_)))),
            _ => drop(outcome.unwrap()),
        }
    }
    assert_eq!(fixture.count("User").await, 9);
    assert_eq!(fixture.changes().await.unwrap().len(), 9);
}

async fn a_failed_read_of_one_operation_spoils_no_other(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    // PostgreSQL cannot even be asked about such a text, and gives up the transaction; SQLite finds nothing.
    let bad = || user(3, "nul\0").doc;
    let outcomes = in_one_batch(
        &fixture,
        vec![
            Box::new(move |work: &mut store::Work<'_>| {
                work.create(store::work::Draft { doc: bad(), ..user(3, "x") })?;
                Err(Error::Stale)
            }) as Write<()>,
            Box::new(|work| work.create(user(4, "anna")).map(drop)),
            Box::new(|work| work.external_of(super::harness::id(1), DOMAIN).map(drop)),
        ],
    )
    .await;
    assert!(outcomes[0].is_err());
    assert!(matches!(outcomes[1], Err(Error::Taken { .. })), "{outcomes:?}");
    assert!(outcomes[2].is_ok(), "{outcomes:?}");
    assert_eq!(fixture.changes().await.unwrap().len(), 1);
}

async fn whatever_connection_is_lost_nothing_acknowledged_is(fixture: Fixture) {
    let mut acknowledged = 0;
    for n in 0..30 {
        if fixture.is_postgres() && n % 3 == 0 {
            Doors::of(&fixture).put_out();
        }
        match fixture.create(user(n, &format!("u{n}"))).await {
            Ok(_) => acknowledged += 1,
            Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
        }
    }
    assert!(acknowledged >= 20, "{acknowledged}");
    // The readers were lost as well; each of the two may say so once.
    let mut lost = 0;
    while lost < 2 && fixture.read(|reader, tenant| reader.changes(tenant, 0, None, 1)).await.is_err() {
        lost += 1;
    }
    let mut read = fixture.changes().await;
    if read.is_err() {
        read = fixture.changes().await;
    }
    assert_eq!(read.unwrap().len(), usize::try_from(acknowledged).unwrap());
    let counted = fixture
        .write(|work| Ok((0..30).filter(|n| matches!(work.record(super::harness::id(*n)), Ok(Some(_)))).count()));
    assert_eq!(counted.await.unwrap(), usize::try_from(acknowledged).unwrap());
}

#[tokio::test]
async fn readers_that_found_the_database_gone_fail_no_read_when_it_is_back() {
    let fixture = Fixture::postgres();
    fixture.create(user(1, "anna")).await.unwrap();
    let mut doors = Doors::of(&fixture);
    for round in 0..3 {
        doors.let_in(false);
        doors.put_out();
        // More than there are readers: each has been asked, or is told by those that were.
        for _ in 0..40 {
            assert!(matches!(fixture.changes().await, Err(Error::Unavailable(_))));
        }
        doors.let_in(true);
        for _ in 0..40 {
            assert_eq!(fixture.changes().await.unwrap().len(), 1, "in round {round}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_lost_while_nobody_asked_is_opened_anew_before_it_is_used() {
    let fixture = Fixture::postgres();
    fixture.create(user(1, "anna")).await.unwrap();
    for _ in 0..2 {
        Doors::of(&fixture).put_out();
        // As long as a reader takes its connection to be good without asking.
        tokio::time::sleep(Duration::from_millis(1_001)).await;
        for _ in 0..40 {
            assert_eq!(fixture.changes().await.unwrap().len(), 1);
        }
    }
}
