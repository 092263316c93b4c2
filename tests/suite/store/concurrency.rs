//! Group commit when many come at once: nothing is lost, nothing is told twice, and one of many wins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};
use store::work::Draft;
use store::{Error, Record};
use tokio::task::JoinSet;

use super::harness::{Fixture, as_is, group, id, joins, on_both, origin, user};

on_both! {
    many_creations_all_stand,
    many_members_join_one_group_and_all_are_kept,
    of_many_changes_to_one_version_exactly_one_wins,
    of_many_claims_to_one_name_exactly_one_wins,
    tenants_write_beside_each_other,
    too_much_that_waits_is_refused,
    another_process_that_writes_without_a_pause_does_not_keep_it_out,
}

const TASKS: u32 = 64;

/// Runs a write for each number at once.
async fn all<T, F>(fixture: &Fixture, run: F) -> Vec<Result<T, Error>>
where
    T: Send + 'static,
    F: Fn(u32, &mut store::Work<'_>) -> Result<T, Error> + Send + Sync + 'static,
{
    let run = Arc::new(run);
    let mut tasks = JoinSet::new();
    for n in 0..TASKS {
        let (store, tenant, run) = (fixture.store.clone(), fixture.tenant, run.clone());
        let write = move |work: &mut store::Work<'_>| run(n, work);
        tasks.spawn(async move { store.write(tenant, origin(super::harness::START), write).await });
    }
    tasks.join_all().await
}

async fn many_creations_all_stand(fixture: Fixture) {
    let outcomes = all(&fixture, |n, work| work.create(user(n, &format!("u{n}")))).await;
    let mut numbers: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().seq).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=i64::from(TASKS)).collect::<Vec<_>>());
    assert_eq!(fixture.count("User").await, i64::from(TASKS));
    for n in 0..TASKS {
        assert!(fixture.record(id(n)).await.is_some());
    }
    fixture.changes().await.unwrap();
}

async fn many_members_join_one_group_and_all_are_kept(fixture: Fixture) {
    fixture.create(group(1000, "all", &[])).await.unwrap();
    all(&fixture, |n, work| work.create(user(n, &format!("u{n}")))).await;
    let outcomes = all(&fixture, |n, work| {
        let held = work.record(id(1000))?.unwrap();
        work.update(Draft { members: vec![joins(n)], ..as_is(&held) })
    })
    .await;
    assert!(outcomes.iter().all(Result::is_ok));
    let members = fixture.read(|reader, tenant| reader.members(tenant, id(1000), None, 1000)).await.unwrap();
    assert_eq!(members.len(), TASKS as usize);
    let versions: Vec<_> = fixture
        .changes()
        .await
        .unwrap()
        .into_iter()
        .filter(|stored| stored.change.resource == id(1000))
        .map(|stored| (stored.change.version, stored.change.members.len()))
        .collect();
    let mut expected = vec![(1, 0)];
    expected.extend((2..=i64::from(TASKS) + 1).map(|version| (version, 1)));
    assert_eq!(versions, expected);
    for n in [0, 31, 63] {
        assert_eq!(fixture.hit(id(n)).await.groups.unwrap().len(), 1);
        assert!(fixture.record(id(n)).await.unwrap().groups_seq > 0);
    }
}

async fn of_many_changes_to_one_version_exactly_one_wins(fixture: Fixture) {
    fixture.create(user(1, "start")).await.unwrap();
    for version in 1..=3 {
        let outcomes = all(&fixture, move |n, work| {
            let held: Record = work.record(id(1))?.ok_or(Error::NotFound)?;
            if held.version != version {
                return Err(Error::Stale);
            }
            work.update(user(1, &format!("v{version}-{n}")))
        })
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::Stale))));
        let winner = outcomes.into_iter().find_map(Result::ok).unwrap();
        assert_eq!(fixture.record(id(1)).await.unwrap(), winner);
    }
    assert_eq!(fixture.changes().await.unwrap().len(), 4);
}

async fn of_many_claims_to_one_name_exactly_one_wins(fixture: Fixture) {
    let outcomes = all(&fixture, |n, work| work.create(user(n, if n % 2 == 0 { "anna" } else { "ANNA" }))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::Taken { .. }))));
    assert_eq!(fixture.count("User").await, 1);
    assert_eq!(fixture.changes().await.unwrap().len(), 1);
}

async fn tenants_write_beside_each_other(mut fixture: Fixture) {
    let mut tenants = vec![fixture.tenant];
    for n in 2..=4 {
        fixture.new_tenant(&format!("t{n}"));
        tenants.push(fixture.tenant);
    }
    let mut tasks = JoinSet::new();
    for n in 0..TASKS {
        for tenant in tenants.clone() {
            let store = fixture.store.clone();
            let write = move |work: &mut store::Work<'_>| work.create(user(n, &format!("u{n}")));
            tasks.spawn(async move { store.write(tenant, origin(super::harness::START), write).await });
        }
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    for tenant in tenants {
        fixture.tenant = tenant;
        assert_eq!(fixture.count("User").await, i64::from(TASKS));
        assert_eq!(fixture.changes().await.unwrap().len(), TASKS as usize);
    }
}

async fn too_much_that_waits_is_refused(fixture: Fixture) {
    let registry = fixture.store.registry().clone();
    let options = store::Options { queue: 2, ..store::Options::new(fixture.url()) };
    let small = store::Store::open(&options, registry).unwrap();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (entered, in_write) = std::sync::mpsc::channel::<()>();
    let mut first = true;
    let blocked = small.write(fixture.tenant, origin(0), move |_| {
        if std::mem::take(&mut first) {
            entered.send(()).unwrap();
            gate.recv().unwrap();
        }
        Ok::<_, Error>(())
    });
    in_write.recv().unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|n| small.write(fixture.tenant, origin(0), move |work| work.create(user(n, &format!("u{n}")))))
        .collect();
    assert_eq!(small.waiting(), 2);
    let piece =
        |from: u32| (from..from + 5).map(|n| move |work: &mut store::Work<'_>| work.create(user(n, &format!("u{n}"))));
    let together = [10, 20].map(|from| small.write_all(fixture.tenant, &origin(0), piece(from).collect()));
    assert_eq!(small.waiting(), 12);
    release.send(()).unwrap();
    blocked.await.unwrap();
    for written in together.into_iter().flatten() {
        written.await.expect("what comes together waits for room");
    }
    let mut outcomes = Vec::new();
    for one in waiting {
        outcomes.push(one.await);
    }
    assert!(matches!(&outcomes[..], [Ok(_), Ok(_), Err(Error::Busy), Err(Error::Busy)]), "{outcomes:?}");
    small.close();
}

/// What another process does with the database, transaction after transaction, until it is told to stop.
fn write_on(connection: &mut impl SimpleConnection, begin: &str, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        connection.batch_execute(begin).expect("begins");
        // What a batch takes.
        std::thread::sleep(Duration::from_millis(20));
        connection.batch_execute("COMMIT").expect("commits");
    }
}

async fn another_process_that_writes_without_a_pause_does_not_keep_it_out(fixture: Fixture) {
    let (stop, url) = (Arc::new(AtomicBool::new(false)), fixture.url());
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let told = stop.clone();
    let other = std::thread::spawn(move || match url.strip_prefix("sqlite:") {
        Some(file) => {
            let mut connection = SqliteConnection::establish(file).expect("a connection");
            connection.batch_execute("PRAGMA busy_timeout = 10000").expect("is set");
            begun.send(()).expect("somebody waits");
            write_on(&mut connection, "BEGIN IMMEDIATE", &told);
        }
        None => {
            let mut connection = PgConnection::establish(&url).expect("a connection");
            begun.send(()).expect("somebody waits");
            write_on(&mut connection, "BEGIN; SELECT * FROM tenant_clock FOR UPDATE", &told);
        }
    });
    has_begun.await.expect("it has begun");
    for n in 0..10 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    other.join().expect("it ended");
}
