//! A view hides: no question about what is hidden, however it is asked, is answered otherwise than in a register in
//! which the hidden values are others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use matrikel::directory::{Ctx, Error};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scim::filter::Filter;
use scim::mapping::Mapping;
use scim::view::{View, Views};
use serde_json::{Map, Value, json};
use store::TenantId;

use crate::support::both::on_both_databases;
use crate::support::messages::{user, user_with};
use crate::support::register::{NEW_YEAR, Register, id, refusal};

on_both_databases!(Register: nothing_that_is_hidden_can_be_found_out, a_hidden_resource_is_not_there);

/// Attributes that a view may hide: canonical path, and where its text lies in a body.
const ATTRIBUTES: [&str; 9] = [
    "title",
    "nickName",
    "displayName",
    "userName",
    "name.familyName",
    "emails.value",
    "roles.value",
    "preferredLanguage",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
];

/// So few words that values meet by chance.
const WORDS: [&str; 4] = ["ada", "Bo", "åsa", "x y"];

const USERS: usize = 5;

/// So many of the attributes can be shown in another form: those at the front.
const FORMED: usize = 4;

/// Who is masked.
const MASKED: &str = "timezone pr";

/// Who has left and is seen as inactive.
const LEFT: &str = "profileUrl pr";

/// What the forms are made of.
const FORM: &str = "{{ locale }}{{ timezone | default(' form') }}";

/// One attribute's word for each user; `None`: absent.
type Column = [Option<usize>; USERS];

#[derive(Clone, Debug)]
struct Case {
    /// What each user has, in one register and in the other.
    values: [[Column; ATTRIBUTES.len()]; 2],
    /// Which attributes are hidden.
    hidden: [bool; ATTRIBUTES.len()],
    /// Which of those that are hidden are seen in another form instead, made of what is the same in both registers.
    formed: [bool; FORMED],
    /// Which of the attributes are hidden of those who are masked, by what is the same in both registers.
    masked: [bool; ATTRIBUTES.len()],
    /// A filter of the view over one attribute, which is the same in both registers even if it is hidden.
    sees: Option<(usize, usize)>,
    /// What is stored as `active`, in one register and in the other: of who has left it may be anything.
    active: [[Option<bool>; USERS]; 2],
    filters: Vec<String>,
    sorts: Vec<(usize, bool)>,
    writes: Vec<Write>,
}

/// A write of one user's attribute.
#[derive(Clone, Debug)]
struct Write {
    user: usize,
    attribute: usize,
    word: usize,
    form: u8,
}

impl Write {
    /// The message; `None`: the whole resource is written.
    fn message(&self) -> Option<Value> {
        let (path, word) = (ATTRIBUTES[self.attribute], json!(WORDS[self.word]));
        let operation = match (self.form, path.split_once('.').filter(|(head, _)| ["emails", "roles"].contains(head))) {
            (0, _) => return None,
            (1, Some((head, sub))) => {
                json!({ "op": "replace", "path": format!("{head}[type eq \"work\"].{sub}"), "value": word })
            }
            (2, Some((head, sub))) => json!({ "op": "remove", "path": format!("{head}[{sub} eq {word}]") }),
            (3, Some((head, sub))) => {
                json!({ "op": "replace", "path": format!("{head}[{sub} sw {word}].type"), "value": "home" })
            }
            (4, Some((head, sub))) => json!({ "op": "add", "path": head, "value": [{ sub: word }] }),
            (_, Some((head, sub))) => json!({ "op": "replace", "value": { head: [{ "type": "work", sub: word }] } }),
            (1, None) => json!({ "op": "remove", "path": path }),
            (2, None) => json!({ "op": "add", "value": { path: word } }),
            (_, None) => json!({ "op": "replace", "path": path, "value": word }),
        };
        Some(crate::support::messages::patch(&json!([operation])))
    }
}

fn write() -> impl Strategy<Value = Write> {
    (0..USERS, 0..ATTRIBUTES.len(), 0..WORDS.len(), 0..6_u8).prop_map(|(user, attribute, word, form)| Write {
        user,
        attribute,
        word,
        form,
    })
}

fn column() -> impl Strategy<Value = Column> {
    prop::array::uniform5(prop::option::weighted(0.7, 0..WORDS.len()))
}

fn atom() -> impl Strategy<Value = String> {
    let active = ["eq true", "eq false", "ne true", "ne false", "pr"];
    let active = prop::sample::select(active.to_vec()).prop_map(|asked| format!("active {asked}"));
    prop_oneof![4 => word(), 1 => active]
}

fn word() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec!["eq", "ne", "co", "sw", "ew", "gt", "le", "pr"]);
    (0..ATTRIBUTES.len(), operator, 0..WORDS.len(), 0..4_u8).prop_map(|(attribute, operator, word, form)| {
        let (path, word) = (ATTRIBUTES[attribute], WORDS[word]);
        match (operator, path.split_once('.').filter(|(head, _)| ["emails", "roles"].contains(head)), form) {
            ("pr", Some((head, _)), 0) => format!("{head} pr"),
            ("pr", _, _) => format!("{path} pr"),
            (_, Some((head, sub)), 0) => format!("{head}[{sub} {operator} \"{word}\"]"),
            (_, Some((head, sub)), 1) => format!("{head}[not ({sub} {operator} \"{word}\")]"),
            (_, Some((head, sub)), 2) => format!("{head}[type eq \"work\" and {sub} {operator} \"{word}\"]"),
            _ => format!("{path} {operator} \"{word}\""),
        }
    })
}

fn filter() -> impl Strategy<Value = String> {
    atom().prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} and {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} or {other})")),
            inner.prop_map(|one| format!("not ({one})")),
        ]
    })
}

fn case() -> impl Strategy<Value = Case> {
    let columns = || prop::array::uniform9(column());
    let sees = prop::option::of((0..ATTRIBUTES.len(), 0..WORDS.len()));
    let sorts = prop::collection::vec((0..ATTRIBUTES.len(), any::<bool>()), 3);
    let asked = (prop::collection::vec(filter(), 6), sorts, prop::collection::vec(write(), 8));
    let some = || prop::array::uniform9(any::<bool>());
    let active = || prop::array::uniform5(any::<Option<bool>>());
    let hidden = (some(), prop::array::uniform4(any::<bool>()), some(), active(), active());
    (columns(), columns(), hidden, sees, asked).prop_map(
        |(one, other, (hidden, formed, masked, active, mut else_active), sees, (filters, sorts, writes))| {
            for (n, (active, other)) in active.iter().zip(&mut else_active).enumerate() {
                if !has_left(n) {
                    *other = *active;
                }
            }
            let active = [active, else_active];
            let mut values = [one, other];
            for attribute in 0..ATTRIBUTES.len() {
                let by_view = sees.is_some_and(|(path, _)| path == attribute);
                let [one, other] = &mut values;
                for (n, (one, other)) in one[attribute].iter().zip(&mut other[attribute]).enumerate() {
                    let is_hidden = hidden[attribute] || (masked[attribute] && is_masked(n));
                    if !is_hidden || by_view {
                        *other = *one;
                    }
                }
            }
            Case { values, hidden, formed, masked, sees, active, filters, sorts, writes }
        },
    )
}

fn is_masked(n: usize) -> bool {
    n.is_multiple_of(2)
}

fn has_left(n: usize) -> bool {
    n.is_multiple_of(3)
}

fn document(values: &[Column; ATTRIBUTES.len()], active: Option<bool>, n: usize) -> Value {
    let mut body = user_with(&format!("user-{n}"), &json!({ "locale": WORDS[n % WORDS.len()] }));
    if is_masked(n) {
        body["timezone"] = json!("Europe/Stockholm");
    }
    if has_left(n) {
        body["profileUrl"] = json!("https://example.se/left");
    }
    if let Some(active) = active {
        body["active"] = json!(active);
    }
    for (path, column) in ATTRIBUTES.iter().zip(values) {
        let Some(word) = column[n].map(|word| WORDS[word]) else { continue };
        match path.rsplit_once(':') {
            Some((urn, attribute)) => body[urn] = json!({ attribute: word }),
            // Names are unique: the word and who has it.
            None if *path == "userName" => body["userName"] = json!(format!("{word}{n}")),
            None => match path.split_once('.') {
                Some(("name", sub)) => body["name"] = json!({ sub: word }),
                Some((head, sub)) => body[head] = json!([{ sub: word, "type": "work" }]),
                None => body[*path] = json!(word),
            },
        }
    }
    body
}

fn view(register: &Register, case: &Case) -> View {
    let released: BTreeSet<String> = ATTRIBUTES
        .iter()
        .zip(case.hidden)
        .zip(case.formed.into_iter().chain(std::iter::repeat(false)))
        .filter(|((_, hidden), formed)| !hidden || *formed)
        .map(|((path, _), _)| (*path).to_owned())
        .chain(["emails.type", "roles.type", "active"].map(str::to_owned))
        .collect();
    let user = register.definition("User");
    let formed = (0..FORMED).filter(|attribute| case.hidden[*attribute] && case.formed[*attribute]);
    let forms: Vec<Mapping> =
        formed.map(|attribute| Mapping::new(&user, ATTRIBUTES[attribute], FORM, None).expect("a form")).collect();
    let filter = case.sees.map(|(attribute, word)| {
        let text = format!("not ({} eq \"{}\")", ATTRIBUTES[attribute], WORDS[word]);
        Filter::parse(&text).and_then(|filter| filter.check(&register.definition("User"))).expect("a filter")
    });
    let names: BTreeSet<String> = forms.iter().map(|form| form.path().to_owned()).collect();
    let left = released.iter().filter(|path| {
        let is_masked = ATTRIBUTES.iter().zip(case.masked).any(|(name, masked)| masked && name == path);
        !is_masked || names.contains(*path)
    });
    let left = left.cloned().collect();
    let who = Filter::parse(MASKED).and_then(|filter| filter.check(&user)).expect("a filter");
    let gone = Filter::parse(LEFT).and_then(|filter| filter.check(&user)).expect("a filter");
    View::new(filter, Some(released)).mapping(forms).masking(&user, who, left).leaving(&user, gone)
}

/// The whole of a user as the client knows it, with one word changed.
async fn replacement(register: &Register, ctx: &Ctx, id: &str, write: &Write) -> Value {
    let mut body = match register.fetch(ctx, "User", id).await {
        Ok((body, _)) => body,
        Err(_) => user("nobody"),
    };
    let (path, word) = (ATTRIBUTES[write.attribute], json!(WORDS[write.word]));
    match path.split_once('.') {
        Some(("name", sub)) => body["name"][sub] = word,
        Some((head, sub)) if !head.contains(':') => body[head] = json!([{ "type": "work", sub: word }]),
        _ => body[path] = word,
    }
    body
}

/// All that a client with the view is told.
async fn told(register: &Register, tenant: TenantId, case: &Case, which: usize) -> Vec<Value> {
    let (values, active) = (&case.values[which], &case.active[which]);
    let mut ctx = Ctx { tenant, now: NEW_YEAR, ..register.seeded(1) };
    let mut ids = Vec::new();
    for (n, active) in active.iter().enumerate().take(USERS) {
        ids.push(id(&register.create(&ctx, "User", document(values, *active, n)).await.expect("created")));
    }
    ctx.views = Arc::new(Views::alike(view(register, case)).tie(register.directory.registry()));
    let mut answers = Vec::new();
    let mut tell = |answer: Result<Value, Error>| {
        answers.push(match answer {
            Ok(answer) => answer,
            Err(Error::Scim(error)) => error.body(),
            Err(other) => panic!("{other}"),
        });
    };
    for id in &ids {
        tell(register.fetch(&ctx, "User", id).await.map(|(body, etag)| json!([body, etag])));
    }
    for filter in &case.filters {
        tell(register.search(&ctx, "User", &[("filter", filter)]).await);
    }
    for (attribute, descending) in &case.sorts {
        let order = if *descending { "descending" } else { "ascending" };
        let sorted = [("sortBy", ATTRIBUTES[*attribute]), ("sortOrder", order), ("count", "2"), ("startIndex", "2")];
        tell(register.search(&ctx, "User", &sorted).await);
    }
    for order in ["ascending", "descending"] {
        tell(register.search(&ctx, "User", &[("sortBy", "active"), ("sortOrder", order), ("count", "3")]).await);
    }
    let names = ATTRIBUTES.join(",");
    tell(register.search(&ctx, "User", &[("attributes", &names)]).await);
    tell(register.search(&ctx, "User", &[("excludedAttributes", &names), ("sortBy", "id")]).await);
    for write in &case.writes {
        let id = &ids[write.user];
        let written = match write.message() {
            Some(message) => register.patch(&ctx, "User", id, message).await,
            None => register.replace(&ctx, "User", id, replacement(register, &ctx, id, write).await).await,
        };
        tell(written.map(|written| json!([written.body, written.etag, written.tolerances])));
        tell(register.fetch(&ctx, "User", id).await.map(|(body, etag)| json!([body, etag])));
    }
    tell(register.search(&ctx, "User", &[]).await);
    answers
}

async fn nothing_that_is_hidden_can_be_found_out(register: &Register) {
    let handle = tokio::runtime::Handle::current();
    let number = AtomicU32::new(0);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let outcome: Result<(), String> = tokio::task::block_in_place(|| {
        let outcome = runner.run(&case(), |mut case| {
            // That there is an e-mail or a role is told by its type: so it is there in both registers or in none.
            for (attribute, path) in ATTRIBUTES.iter().enumerate() {
                if path.starts_with("emails") || path.starts_with("roles") {
                    let (one, other) = case.values.split_at_mut(1);
                    for (one, other) in one[0][attribute].iter().zip(&mut other[0][attribute]) {
                        *other = one.map(|_| other.unwrap_or(0));
                    }
                }
            }
            let mut answers = Vec::new();
            for which in 0..case.values.len() {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let tenant = register
                    .directory
                    .store()
                    .create_tenant(&format!("t{number}"), "T", NEW_YEAR)
                    .expect("a tenant")
                    .id;
                answers.push(handle.block_on(told(register, tenant, &case, which)));
            }
            for (one, other) in answers[0].iter().zip(&answers[1]) {
                prop_assert_eq!(one, other);
            }
            Ok(())
        });
        outcome.map_err(|error| error.to_string())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

async fn a_hidden_resource_is_not_there(register: &Register) {
    let seen = register.made("User", user_with("seen", &json!({ "userType": "employee" }))).await;
    let hidden = register.made("User", user_with("hidden", &json!({ "userType": "protected" }))).await;
    let mut ctx = register.ctx();
    let filter =
        Filter::parse("userType ne \"protected\"").and_then(|filter| filter.check(&register.definition("User")));
    ctx.views = Arc::new(Views::alike(View::new(Some(filter.expect("a filter")), None)));
    let head = register.head().await;
    let nobody = "0198c0de-0000-7000-8000-000000000000";
    // Word for word what is said of somebody who does not exist.
    let absent = |id: &str, error: Error| match error {
        Error::Scim(error) => error.detail.replace(id, nobody),
        other => panic!("{other}"),
    };
    let title = crate::support::messages::set("title", &json!("x"));
    let mut said = BTreeSet::new();
    for id in [hidden.as_str(), nobody] {
        said.insert(absent(id, register.fetch(&ctx, "User", id).await.expect_err("hidden")));
        said.insert(absent(id, register.patch(&ctx, "User", id, title.clone()).await.expect_err("hidden")));
        said.insert(absent(id, register.replace(&ctx, "User", id, user("hidden")).await.expect_err("hidden")));
        said.insert(absent(id, register.remove(&ctx, "User", id).await.expect_err("hidden")));
    }
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(register.head().await, head);
    for parameters in [
        vec![],
        vec![("filter", "userName eq \"hidden\"")],
        vec![("filter", "userType eq \"protected\" or userName pr")],
        vec![("filter", "not (userName eq \"seen\")")],
        vec![("sortBy", "userType"), ("count", "1"), ("startIndex", "2")],
    ] {
        let found = register.search(&ctx, "User", &parameters).await.expect("searched");
        assert!(!found.to_string().contains(&hidden), "{parameters:?}: {found}");
        assert!(found["totalResults"].as_u64() <= Some(1), "{parameters:?}: {found}");
    }
    register.fetch(&ctx, "User", &seen).await.expect("seen");
    let error = register.replace(&ctx, "User", &hidden, Value::Object(Map::new())).await.expect_err("hidden");
    assert!([400, 404].contains(&refusal(&error).0));
}
