//! Groups: within each other, renamed, deleted; what members are told of it, and what is swept up afterwards.

use std::time::{Duration, Instant};

use store::change::{Delta, Op};
use store::work::Draft;
use store::{Error, GroupRef};

use super::harness::{Fixture, as_is, group, id, joins, leaves, on_both, user};

on_both! {
    a_member_is_in_the_groups_around_its_group_too,
    a_circle_can_be_refused_before_it_is_made,
    whatever_changes_the_groups_of_a_member_changes_its_entity_tag,
    a_removed_user_leaves_its_groups_in_the_same_transaction,
    the_memberships_of_a_deleted_group_are_swept_up,
    a_sweep_among_writes_takes_no_number_back,
    a_sweep_that_was_broken_off_is_taken_up_again,
    members_that_are_there_or_gone_already_are_passed_over,
    a_slice_of_members_follows_the_one_before,
}

fn nested(child: u32) -> Delta {
    Delta { kind: "Group".into(), ..joins(child) }
}

async fn change_members(fixture: &Fixture, group: u32, members: Vec<Delta>) {
    fixture
        .write(move |work| {
            let held = work.record(id(group))?.ok_or(Error::NotFound)?;
            work.update(Draft { members: members.clone(), ..as_is(&held) })
        })
        .await
        .unwrap();
}

async fn names(fixture: &Fixture, member: u32) -> Vec<(String, bool)> {
    let groups = fixture.hit(id(member)).await.groups.unwrap();
    groups.into_iter().map(|GroupRef { label, direct, .. }| (label.to_string(), direct)).collect()
}

/// A user in `inner`, `inner` in `middle`, `middle` in `outer`.
async fn three_levels(fixture: &Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    fixture.create(user(2, "bo")).await.unwrap();
    fixture.create(group(10, "inner", &[1])).await.unwrap();
    fixture.create(Draft { members: vec![nested(10)], ..group(11, "middle", &[]) }).await.unwrap();
    fixture.create(Draft { members: vec![nested(11), joins(2)], ..group(12, "outer", &[]) }).await.unwrap();
}

async fn a_member_is_in_the_groups_around_its_group_too(fixture: Fixture) {
    three_levels(&fixture).await;
    let mut all = names(&fixture, 1).await;
    all[1..].sort();
    assert_eq!(all, [("inner".into(), true), ("middle".into(), false), ("outer".into(), false)]);
    assert_eq!(names(&fixture, 2).await, [("outer".into(), true)]);
    change_members(&fixture, 12, vec![Delta { joined: false, ..nested(11) }]).await;
    assert_eq!(names(&fixture, 1).await, [("inner".into(), true), ("middle".into(), false)]);
    fixture.remove(id(11)).await.unwrap();
    assert_eq!(names(&fixture, 1).await, [("inner".into(), true)]);
}

async fn a_circle_can_be_refused_before_it_is_made(fixture: Fixture) {
    three_levels(&fixture).await;
    let answers = fixture
        .write(|work| {
            let before = work.nesting()?.would_cycle(id(10), id(12));
            let held = work.record(id(12))?.ok_or(Error::NotFound)?;
            work.update(Draft { members: vec![Delta { joined: false, ..nested(11) }], ..as_is(&held) })?;
            Ok((before, work.nesting()?.would_cycle(id(10), id(12)), work.nesting()?.would_cycle(id(10), id(11))))
        })
        .await
        .unwrap();
    assert_eq!(answers, (true, false, true));
    // What an operation that was refused did to the nesting is forgotten, within its batch and after it.
    let refused = fixture.write(|work| {
        let held = work.record(id(12))?.ok_or(Error::NotFound)?;
        work.update(Draft { members: vec![nested(11)], ..as_is(&held) })?;
        assert!(work.nesting()?.would_cycle(id(10), id(12)));
        Err::<(), _>(Error::Stale)
    });
    let next = fixture.write(|work| Ok(work.nesting()?.would_cycle(id(10), id(12))));
    let (refused, next) = tokio::join!(refused, next);
    assert!(refused.is_err());
    assert!(!next.unwrap());
}

async fn whatever_changes_the_groups_of_a_member_changes_its_entity_tag(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    let mut tags = vec![fixture.hit(id(1)).await.etag];
    let record = fixture.record(id(1)).await.unwrap();
    let mut step = async |what: &str| {
        let tag = fixture.hit(id(1)).await.etag;
        assert!(!tags.contains(&tag), "{what} left the tag as it had been before");
        assert!(tag.starts_with("W/\"1."), "{what} made a version: {tag}");
        tags.push(tag);
    };
    fixture.create(group(9, "lonely", &[1])).await.unwrap();
    step("joining").await;
    fixture.remove(id(9)).await.unwrap();
    step("the deletion of the only group").await;
    fixture.create(group(10, "inner", &[1])).await.unwrap();
    step("joining another").await;
    fixture.create(Draft { members: vec![nested(10)], ..group(11, "middle", &[]) }).await.unwrap();
    step("nesting").await;
    fixture.update(group(11, "renamed", &[])).await.unwrap();
    step("a new name of an outer group").await;
    fixture.update(group(10, "renamed too", &[])).await.unwrap();
    step("a new name of its own group").await;
    change_members(&fixture, 11, vec![Delta { joined: false, ..nested(10) }]).await;
    step("an end of nesting").await;
    change_members(&fixture, 10, vec![leaves(1)]).await;
    step("leaving").await;
    // None of it made a version of the member or moved its lastModified.
    let after = fixture.record(id(1)).await.unwrap();
    assert_eq!((after.version, after.modified_at, after.seq), (record.version, record.modified_at, record.seq));
}

async fn a_removed_user_leaves_its_groups_in_the_same_transaction(fixture: Fixture) {
    for n in 1..=2 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    for n in 10..=12 {
        fixture.create(group(n, &format!("g{n}"), &[1, 2])).await.unwrap();
    }
    fixture.remove(id(1)).await.unwrap();
    let changes = fixture.changes().await.unwrap().split_off(5);
    assert_eq!(changes.len(), 4);
    assert!(changes.iter().all(|stored| stored.change.txn == changes[0].change.txn));
    for stored in &changes[..3] {
        assert_eq!((stored.change.op, stored.change.version), (Op::Members, 2));
        assert_eq!(stored.change.members, [leaves(1)]);
    }
    assert_eq!((changes[3].change.op, changes[3].change.resource), (Op::Delete, id(1)));
    let left = fixture.rows("SELECT CAST(COUNT(*) AS TEXT) FROM membership");
    assert_eq!(left, ["3"]);
}

/// Waits until nothing is left to sweep.
async fn swept(fixture: &Fixture) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fixture.rows("SELECT CAST(tenant_id AS TEXT) FROM sweep").is_empty() {
        assert!(Instant::now() < deadline, "the sweep does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn the_memberships_of_a_deleted_group_are_swept_up(fixture: Fixture) {
    let members: Vec<u32> = (0..6_000).collect();
    fixture
        .write(move |work| {
            for n in &members {
                work.create(user(*n, &format!("u{n}")))?;
            }
            work.create(group(10_000, "big", &members))?;
            work.create(group(10_001, "small", &members[..3]))
        })
        .await
        .unwrap();
    fixture.remove(id(10_000)).await.unwrap();
    // At once nobody is told of it any more.
    assert_eq!(names(&fixture, 1).await, [("small".into(), true)]);
    swept(&fixture).await;
    assert_eq!(fixture.rows("SELECT CAST(COUNT(*) AS TEXT) FROM membership"), ["3"]);
    assert_eq!(fixture.changes().await.unwrap().len(), 6_003);
}

async fn a_sweep_among_writes_takes_no_number_back(fixture: Fixture) {
    fixture.create(group(10, "g", &[])).await.unwrap();
    // While a batch is held, the next one gathers: first the deletion, then the sweep that finds the group, then the
    // one that finds nothing, each behind a write.
    let (deleted, deletion) = fixture.held(|work| work.remove(id(10)));
    deleted.entered();
    let (first, one) = fixture.held(|work| work.create(user(1, "u1")).map(drop));
    deleted.let_go();
    deletion.await.unwrap();
    first.entered();
    let two = fixture.create(user(2, "u2"));
    let three = fixture.create(user(3, "u3"));
    first.let_go();
    let (one, two, three) = tokio::join!(one, two, three);
    one.unwrap();
    two.unwrap();
    three.unwrap();
    swept(&fixture).await;
    for n in 4..8 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    assert_eq!(fixture.changes().await.unwrap().len(), 9);
}

async fn a_sweep_that_was_broken_off_is_taken_up_again(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    fixture.create(group(10, "g", &[1])).await.unwrap();
    let fixture = fixture.reopen();
    // As a stop between the deletion and its sweep leaves it.
    fixture.execute(
        "INSERT INTO membership (tenant_id, group_id, member_id, member_kind, since_seq) \
         SELECT tenant_id, member_id, group_id, 'User', 1 FROM membership; \
         INSERT INTO sweep (tenant_id, group_id) SELECT tenant_id, resource_id FROM resource WHERE kind = 'User'",
    );
    let fixture = fixture.reopen();
    swept(&fixture).await;
    assert_eq!(fixture.rows("SELECT CAST(COUNT(*) AS TEXT) FROM membership"), ["1"]);
}

async fn members_that_are_there_or_gone_already_are_passed_over(fixture: Fixture) {
    for n in 1..=3 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    fixture.create(group(10, "g", &[1, 2, 1])).await.unwrap();
    change_members(&fixture, 10, vec![joins(1), leaves(3), joins(3), joins(3), leaves(2), leaves(2)]).await;
    let changes = fixture.changes().await.unwrap();
    assert_eq!(changes[3].change.members, [joins(1), joins(2)]);
    assert_eq!(changes[4].change.members, [joins(3), leaves(2)]);
    let hit = fixture.hit(id(10)).await;
    let mut members: Vec<_> = hit.members.unwrap().into_iter().map(|member| member.label).collect();
    members.sort();
    assert_eq!(members, ["u1", "u3"]);
}

async fn a_slice_of_members_follows_the_one_before(fixture: Fixture) {
    for n in 0..10 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    fixture.create(group(10, "g", &(0..10).collect::<Vec<_>>())).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let slice = fixture.read(move |reader, tenant| reader.members(tenant, id(10), after, 3)).await.unwrap();
        let Some(last) = slice.last() else { break };
        after = Some(last.id);
        seen.extend(slice.into_iter().map(|member| member.id));
    }
    let mut expected: Vec<_> = (0..10).map(id).collect();
    expected.sort();
    assert_eq!(seen, expected);
    let members = fixture.write(|work| work.members(id(10))).await.unwrap();
    assert_eq!(members.into_iter().map(|member| member.id).collect::<Vec<_>>(), expected);
}
