//! What a search costs: the statements that it runs, counted and explained. A question about one member is a look-up
//! by that member, and nothing is read of memberships that was not asked for, however large the groups are.

use std::sync::{Mutex, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation};
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query};
use scim::filter::Filter;
use store::scan::{Cut, Query, Step};
use store::work::Draft;
use store::{Error, GROUP_MEMBERSHIP, Reader, TenantId};

use super::harness::{Fixture, as_is, group, id, on_both, user};

on_both! {
    a_question_about_a_member_is_a_look_up_by_it,
    what_is_not_asked_for_is_not_read,
    groups_within_groups_are_read_for_questions_about_groups_alone,
    a_page_of_memberships_costs_the_page,
    a_page_of_too_many_members_is_refused_before_they_are_read,
}

/// The statements of this process since they were last taken. Nextest gives each test a process.
static RUN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn listen() -> Option<Box<dyn Instrumentation>> {
    Some(Box::new(|event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            let text = text.split(" -- binds").next().unwrap_or_default().to_owned();
            RUN.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
    }))
}

/// Connections tell what they run from when they are opened.
fn observed(fixture: Fixture) -> Fixture {
    set_default_instrumentation(listen).unwrap();
    fixture.reopen()
}

/// The statements that a read runs, the second time, when all that is kept in memory is there.
async fn statements<T: Send + 'static>(
    fixture: &Fixture,
    read: impl Fn(&mut Reader, TenantId) -> Result<T, Error> + Clone + Send + 'static,
) -> Vec<String> {
    fixture.read(read.clone()).await.unwrap();
    RUN.lock().unwrap().clear();
    fixture.read(read).await.unwrap();
    std::mem::take(&mut *RUN.lock().unwrap())
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[derive(QueryableByName)]
struct PgLine {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    detail: String,
}

/// How the database would find the rows.
fn explain(fixture: &Fixture, statement: &str) -> Vec<String> {
    if !fixture.is_postgres() {
        let mut database = SqliteConnection::establish(fixture.url().trim_start_matches("sqlite:")).unwrap();
        let lines: Vec<Line> = sql_query(format!("EXPLAIN QUERY PLAN {statement}")).load(&mut database).unwrap();
        return lines.into_iter().map(|line| line.detail).collect();
    }
    let bound = (1..).take_while(|n| statement.contains(&format!("${n}"))).count();
    let nulls = vec!["NULL"; bound].join(", ");
    let mut database = PgConnection::establish(&fixture.url()).unwrap();
    database.batch_execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off").unwrap();
    database.batch_execute(&format!("PREPARE asked AS {statement}")).unwrap();
    let lines: Vec<PgLine> = sql_query(format!("EXPLAIN EXECUTE asked({nulls})")).load(&mut database).unwrap();
    lines.into_iter().map(|line| line.detail).collect()
}

/// Asserts that the rows of `membership` are found by an index in which these columns are given.
fn assert_found_by(fixture: &Fixture, statement: &str, columns: &[&str]) {
    let plan = explain(fixture, statement);
    let is_found = |line: &String| {
        let is_search = if fixture.is_postgres() { line.contains("Index Cond") } else { line.starts_with("SEARCH") };
        is_search
            && columns.iter().all(|column| line.contains(&format!("{column} ")) || line.contains(&format!("{column}=")))
    };
    assert!(plan.iter().any(is_found), "{columns:?} in {statement}\n{}", plan.join("\n"));
    assert!(!plan.iter().any(|line| line.contains("SCAN m")), "{statement}\n{}", plan.join("\n"));
}

fn query(fixture: &Fixture, kind: &str, filter: Option<&str>) -> Query {
    let query = fixture.query(kind);
    let filter = filter.map(|filter| Filter::parse(filter).unwrap().check(&query.definition).unwrap());
    Query { filter, with_members: false, with_groups: false, count: 10, ..query }
}

/// Groups 1 to 3, each with the users from 101 on, and group 4 with the first of them alone.
async fn world(fixture: &Fixture, members: u32) {
    for n in 0..members {
        drop(fixture.create(user(101 + n, &format!("user{n}"))).await.unwrap());
    }
    let all: Vec<u32> = (101..101 + members).collect();
    for n in 1..=3 {
        fixture.create(group(n, &format!("group{n}"), &all)).await.unwrap();
    }
    fixture.create(group(4, "group4", &[101])).await.unwrap();
}

fn on_memberships(statements: &[String]) -> Vec<&String> {
    statements.iter().filter(|statement| statement.contains("membership")).collect()
}

async fn a_question_about_a_member_is_a_look_up_by_it(fixture: Fixture) {
    let fixture = observed(fixture);
    world(&fixture, 5).await;
    let member = id(101);
    let filters = [format!("members.value eq \"{member}\""), format!("members[value eq \"{member}\"]")];
    let mut small = Vec::new();
    for filter in &filters {
        let asked = query(&fixture, "Group", Some(filter));
        let run = statements(&fixture, move |reader, tenant| {
            let page = reader.search(tenant, &asked)?;
            assert_eq!(page.total, 4);
            Ok(())
        });
        let run = run.await;
        let about = on_memberships(&run);
        let [proposed, tested] = about.as_slice() else { panic!("{about:#?}") };
        assert_found_by(&fixture, proposed, &["tenant_id", "member_id"]);
        assert_found_by(&fixture, tested, &["tenant_id", "member_id"]);
        small.push(run);
    }
    assert_eq!(small[0], small[1], "the two say the same");

    // The same statements, whatever the sizes of the groups.
    for n in 0..300 {
        drop(fixture.create(user(1000 + n, &format!("more{n}"))).await.unwrap());
    }
    let more: Vec<u32> = (1000..1300).collect();
    fixture.create(group(5, "large", &more)).await.unwrap();
    for (filter, before) in filters.iter().zip(small) {
        let asked = query(&fixture, "Group", Some(filter));
        let run = statements(&fixture, move |reader, tenant| reader.search(tenant, &asked)).await;
        assert_eq!(run, before);
    }
}

async fn what_is_not_asked_for_is_not_read(fixture: Fixture) {
    let fixture = observed(fixture);
    world(&fixture, 5).await;
    for filter in [None, Some("displayName eq \"group2\""), Some("displayName pr"), Some("meta.version pr")] {
        let asked = query(&fixture, "Group", filter);
        let run = statements(&fixture, move |reader, tenant| reader.search(tenant, &asked)).await;
        assert_eq!(on_memberships(&run), Vec::<&String>::new(), "{filter:?}");
        let asked = query(&fixture, "Group", filter);
        let step = Step { from: Cut::Start, backwards: false, wanted: 2, budget: 1_000 };
        let run = statements(&fixture, move |reader, tenant| reader.walk(tenant, &asked, &step)).await;
        assert_eq!(on_memberships(&run), Vec::<&String>::new(), "{filter:?} by cursor");
    }
}

async fn groups_within_groups_are_read_for_questions_about_groups_alone(fixture: Fixture) {
    let fixture = observed(fixture);
    world(&fixture, 5).await;
    let reads_nesting = |run: &[String]| run.iter().any(|statement| statement.contains("member_kind <> 'User'"));
    for (filter, expected) in [
        ("userName eq \"user1\"".to_owned(), false),
        ("userName sw \"user\" and title eq \"x\"".to_owned(), false),
        (format!("groups.value eq \"{}\"", id(1)), true),
    ] {
        // Renamed, the group makes the graph that is in memory an old one.
        let fixture = &fixture;
        let label = filter.clone();
        let rename = fixture.write(move |work| {
            let held = work.record(id(4))?.ok_or(Error::NotFound)?;
            work.update(Draft { label: label.clone(), ..as_is(&held) })
        });
        rename.await.unwrap();
        RUN.lock().unwrap().clear();
        let asked = query(fixture, "User", Some(&filter));
        fixture.read(move |reader, tenant| reader.search(tenant, &asked)).await.unwrap();
        assert_eq!(reads_nesting(&std::mem::take(&mut *RUN.lock().unwrap())), expected, "{filter}");
    }
}

async fn a_page_of_memberships_costs_the_page(fixture: Fixture) {
    let fixture = observed(fixture);
    world(&fixture, 40).await;
    for (filter, columns) in [
        (Some(format!("group.value eq \"{}\"", id(1))), vec!["tenant_id", "group_id"]),
        (Some(format!("member.value eq \"{}\"", id(105))), vec!["tenant_id", "member_id"]),
        (None, vec!["tenant_id"]),
    ] {
        let asked = Query { count: 2, start: 1, ..query(&fixture, GROUP_MEMBERSHIP, filter.as_deref()) };
        let first = {
            let asked = asked.clone();
            fixture.read(move |reader, tenant| reader.search_links(tenant, &asked, None)).await.unwrap()
        };
        let mark = first.end.clone();
        let next = Query { start: 3, mark: mark.clone(), ..asked.clone() };
        let run = statements(&fixture, move |reader, tenant| reader.search_links(tenant, &next, Some(41))).await;
        let about = on_memberships(&run);
        let [step] = about.as_slice() else { panic!("{about:#?}") };
        assert!(step.contains("LIMIT"), "{step}");
        assert_found_by(&fixture, step, &columns);

        let from = Cut::After(mark.unwrap());
        let step = Step { from, backwards: false, wanted: 2, budget: 1_000 };
        let run = statements(&fixture, move |reader, tenant| reader.walk_links(tenant, &asked, &step)).await;
        assert!(on_memberships(&run).len() <= 1, "{run:#?}");
    }
    let both = format!("group.value eq \"{}\" and member.value eq \"{}\"", id(1), id(105));
    let asked = query(&fixture, GROUP_MEMBERSHIP, Some(&both));
    let run = statements(&fixture, move |reader, tenant| reader.search_links(tenant, &asked, Some(1))).await;
    let about = on_memberships(&run);
    let [step] = about.as_slice() else { panic!("{about:#?}") };
    assert_found_by(&fixture, step, &["tenant_id", "group_id", "member_id"]);
}

async fn a_page_of_too_many_members_is_refused_before_they_are_read(fixture: Fixture) {
    let fixture = observed(fixture);
    world(&fixture, 5).await;
    for filter in [None, Some("displayName pr")] {
        let asked = Query { with_members: true, member_limit: 16, count: 4, ..query(&fixture, "Group", filter) };
        let fits = asked.clone();
        let page = fixture.read(move |reader, tenant| reader.search(tenant, &fits)).await.unwrap();
        assert_eq!(page.hits.iter().filter_map(|hit| hit.members.as_ref()).map(Vec::len).sum::<usize>(), 16);
        RUN.lock().unwrap().clear();
        let too_many = Query { member_limit: 15, ..asked.clone() };
        let refused = fixture.read(move |reader, tenant| reader.search(tenant, &too_many)).await;
        assert!(matches!(refused, Err(Error::TooManyMembers { limit: 15 })), "{refused:?}");
        let run = std::mem::take(&mut *RUN.lock().unwrap());
        assert!(on_memberships(&run).iter().all(|statement| statement.contains("COUNT(*)")), "{run:#?}");
        let fewer = Query { member_limit: 15, count: 3, ..asked };
        fixture.read(move |reader, tenant| reader.search(tenant, &fewer)).await.unwrap();
    }
}
