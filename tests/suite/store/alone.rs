//! Writes that may be made on the thread that asks for them, and are where nothing is in the way.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use store::Error;

use super::harness::{Fixture, START, on_both, origin, user};

on_both! {
    what_may_be_written_here_is_written_like_all_else,
}

async fn what_may_be_written_here_is_written_like_all_else(f: Fixture) {
    let mut known = Vec::new();
    for n in 0..20 {
        let draft = user(n, &format!("u{n}"));
        let record = f.write_here(move |work| work.create(draft.clone())).await.expect("created");
        known.push((record.id, record.seq));
    }
    let twice = user(7, "again");
    let refused = f.write_here(move |work| work.create(twice.clone())).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "what the database refuses: {refused:?}");
    let changes = f.changes().await.expect("a whole chain");
    assert_eq!(changes.iter().map(|stored| (stored.change.resource, stored.change.seq)).collect::<Vec<_>>(), known);
    let f = f.reopen();
    assert_eq!(f.count("User").await, 20);
}

/// Makes a User here; says on which thread.
async fn create_here(f: &Fixture, n: u32) -> ThreadId {
    let draft = user(n, &format!("u{n}"));
    f.write_here(move |work| work.create(draft.clone()).map(|_| thread::current().id())).await.expect("created")
}

/// Writes one by one, numbered on from `first`, until a write is made on this thread: commits have to have been quick of
/// late, which nobody can promise of a busy machine.
async fn become_quick(f: &Fixture, first: u32) {
    for n in first..first + 10_000 {
        if create_here(f, n).await == thread::current().id() {
            return;
        }
    }
    panic!("no write of 10,000 was made on the thread that asked");
}

#[tokio::test]
async fn a_write_that_comes_alone_is_made_on_the_thread_that_asks() {
    let f = Fixture::in_memory();
    assert_ne!(create_here(&f, 0).await, thread::current().id(), "of the disk nothing is known yet");
    become_quick(&f, 1).await;
    let before = f.count("User").await;

    let broken = f.write_here(|work| {
        work.create(user(50_000, "broken"))?;
        Err::<(), _>(Error::NotFound)
    });
    assert!(matches!(broken.await, Err(Error::NotFound)));
    let twice = user(0, "again");
    let refused = f.write_here(move |work| work.create(twice.clone())).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "what the database refuses: {refused:?}");
    assert_eq!(f.count("User").await, before, "nothing of them is stored");

    become_quick(&f, 20_000).await;
    f.changes().await.expect("a whole chain");
}

/// A write that is under way: which change it was, and on which thread.
type Written = Pin<Box<dyn Future<Output = Result<(i64, ThreadId), Error>> + Send>>;

#[tokio::test]
async fn what_comes_while_it_is_made_is_made_after_it() {
    let mut f = Fixture::in_memory();
    become_quick(&f, 0).await;
    let (store, ours) = (f.store.clone(), f.tenant);
    f.new_tenant("two");
    let theirs = f.tenant;
    f.tenant = ours;
    // Whether this one is made here is the disk's to say, so it is tried until it was.
    for n in 0..10_000 {
        let later = Arc::new(Mutex::new(Vec::<Written>::new()));
        let (came, beside) = (later.clone(), store.clone());
        let here = f.write_here(move |work| {
            if came.lock().unwrap().is_empty() {
                for (tenant, n) in [(ours, 20_000 + n), (theirs, 30_000 + n)] {
                    let create = move |work: &mut store::Work<'_>| {
                        work.create(user(n, "later")).map(|record| (record.seq, thread::current().id()))
                    };
                    came.lock().unwrap().push(Box::pin(beside.write(tenant, origin(START), create)));
                }
            }
            work.create(user(40_000 + n, "now")).map(|record| (record.seq, thread::current().id()))
        });
        let (now, thread) = here.await.expect("created");
        let mut others = std::mem::take(&mut *later.lock().unwrap());
        let (_, other) = others.pop().expect("the other tenant's").await.expect("created");
        let (after, another) = others.pop().expect("ours").await.expect("created");
        assert_eq!(after, now + 1, "in the order in which they came");
        assert_eq!(other, another, "the writer's own thread");
        if thread == thread::current().id() {
            assert_ne!(another, thread);
            f.changes().await.expect("a whole chain");
            return;
        }
    }
    panic!("no write of 10,000 was made on the thread that asked");
}

#[tokio::test]
async fn another_process_that_writes_is_waited_for_by_the_writer_alone() {
    let f = Fixture::in_memory();
    become_quick(&f, 0).await;
    let file = f.url().strip_prefix("sqlite:").expect("SQLite").to_owned();
    let mut other = SqliteConnection::establish(&file).expect("opens");
    other.batch_execute("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE").expect("the lock");
    let draft = user(20_000, "patient");
    // Would it wait here, nobody would ever let go of the lock.
    let written = f.write_here(move |work| work.create(draft.clone()).map(|_| thread::current().id()));
    other.batch_execute("COMMIT").expect("lets go");
    assert_ne!(written.await.expect("created"), thread::current().id());
}
