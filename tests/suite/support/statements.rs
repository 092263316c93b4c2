//! What PostgreSQL was asked: every statement on one database with its bound values, and the plan it was run by, from the
//! log of the test cluster. And whether a statement is a tenant's: on tables that are cut into parts by tenant it is
//! when its plan reads one part of each, all of the same number, and when all rows that it inserts have one tenant.
//!
//! With `MATRIKEL_TEST_STATEMENTS` set (`make statements`), every database of every test is laid out so, and each test ends
//! with what the program asked meanwhile being judged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, RunQueryDsl};
use serde_json::Value;

use super::postgres::{Database, database_from};

/// How the tables are laid out.
const CITUS: &str = include_str!("../../../tools/citus.sql");
/// Between a table's name and the number of its part: see `shards.sql`.
const PART: &str = "_part";

/// What asks about all tenants at once, and why it may.
pub(crate) const ABOUT_ALL: &[(&str, &str)] = &[
    (
        "SELECT tenant_id FROM tenant WHERE EXISTS (SELECT 1 FROM resource WHERE resource.tenant_id = tenant.tenant_id AND kind = ",
        "at the start and every ten minutes: who has runs of feeds or simulations that may have been left",
    ),
    (
        "SELECT tenant_id FROM tenant WHERE EXISTS (SELECT 1 FROM due WHERE due.tenant_id = tenant.tenant_id AND at <= ",
        "every quarter of a minute: of which tenants something is due",
    ),
    ("SELECT DISTINCT tenant_id FROM sweep", "at the start: memberships of deleted groups that the last stop has left"),
    (
        "SELECT DISTINCT tenant_id FROM attr_path WHERE state <> ",
        "at the start: indexes that the last stop has left half built",
    ),
    (
        "SELECT tenant_id, client_id FROM deferred WHERE expires_at IS NULL AND accepted_at < ",
        "at the start and now and then: requests that a node which is gone has accepted",
    ),
    ("SELECT DISTINCT tenant_id FROM deferred WHERE expires_at <= ", "now and then: results that are to be forgotten"),
    (
        "SELECT DISTINCT tenant_id FROM idempotency WHERE at <= ",
        "now and then: keys of retries that are to be forgotten",
    ),
];

/// Set by `make statements`.
const WATCH: &str = "MATRIKEL_TEST_STATEMENTS";

/// The log of what the program asked of one database, from a moment on.
#[derive(Debug)]
pub(crate) struct Log {
    url: String,
    name: String,
    file: PathBuf,
    from: u64,
}

/// One line of the log.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A statement with bound values, of which the server sends all on tables, with the values of `$1`, `$2` …; `None` is NULL. Long values are cut.
    Statement { text: String, values: Vec<Option<String>> },
    /// The plan of one.
    Plan { text: String, parts: Vec<String> },
}

/// A migrated database.
pub(crate) fn migrated() -> Database {
    if std::env::var_os(WATCH).is_some() {
        return laid_out();
    }
    database_from("migrated", |url| drop(store::migrate(url).expect("migrated")))
}

/// One whose tables are laid out by tenant.
pub(crate) fn laid_out() -> Database {
    database_from("laid_out", |url| {
        store::migrate(url).expect("migrated");
        lay_out(url);
    })
}

/// Lays the tables of a migrated database out by tenant, as the script for Citus says.
fn lay_out(url: &str) {
    let mut connection = PgConnection::establish(url).expect("a connection");
    connection.batch_execute(include_str!("shards.sql")).expect("the stand-ins");
    connection.batch_execute(CITUS).expect("the tables are laid out");
}

impl Log {
    /// Has every statement of connections that are opened from now on logged.
    pub(crate) fn begin(url: &str) -> Self {
        let name = url.rsplit('/').next().expect("a name").to_owned();
        let mut connection = PgConnection::establish(url).expect("a connection");
        for setting in [
            "session_preload_libraries = 'auto_explain'",
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_format = 'json'",
            "plan_cache_mode = 'force_custom_plan'",
            "log_statement = 'all'",
            "log_parameter_max_length = 64",
        ] {
            connection.batch_execute(&format!("ALTER DATABASE {name} SET {setting}")).expect("a setting");
        }
        let folder: String =
            sql::<Text>("SELECT current_setting('data_directory')").get_result(&mut connection).expect("it");
        let file = PathBuf::from(folder).with_file_name("log");
        let from = file.metadata().expect("the cluster's log").len();
        Log { url: url.to_owned(), name, file, from }
    }

    /// The statements that are about to come, and no earlier ones.
    pub(crate) fn go_on(&mut self) {
        self.from = self.file.metadata().expect("the cluster's log").len();
    }

    /// Everything that was logged of the database.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut file = File::open(&self.file).expect("the cluster's log");
        file.seek(SeekFrom::Start(self.from)).expect("its place");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("readable");
        read(&String::from_utf8_lossy(&bytes), &self.name)
    }

    /// What is not a tenant's, each text once.
    pub(crate) fn faults(&self) -> Vec<String> {
        let is_about_all = |entry: &&Entry| ABOUT_ALL.iter().any(|(known, _)| text(entry).starts_with(known));
        let mut faults: BTreeMap<String, String> = BTreeMap::new();
        for entry in self.entries().iter().filter(|entry| !is_about_all(entry)) {
            if let Some(fault) = fault(entry) {
                faults.entry(text(entry).to_owned()).or_insert(fault);
            }
        }
        faults.into_values().collect()
    }

    /// Tables of the database with a column `tenant_id`, `tenant` aside, that are not cut up by it; unique keys that do not
    /// begin with it; tables that are neither cut up nor kept whole everywhere.
    pub(crate) fn strays(&self) -> Vec<String> {
        const STRAYS: &str = "SELECT c.relname || ' is not laid out' FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace \
             AND c.relkind = 'r' AND NOT c.relispartition AND obj_description(c.oid) IS DISTINCT FROM 'reference' \
             UNION ALL SELECT x.relname || ' does not begin with the tenant' FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid \
             JOIN pg_class c ON c.oid = i.indrelid AND c.relkind = 'p' \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
             WHERE c.relnamespace = 'public'::regnamespace AND a.attname <> 'tenant_id' \
             UNION ALL SELECT c.relname || ' is cut up otherwise' FROM pg_class c WHERE c.relkind = 'p' \
             AND pg_get_partkeydef(c.oid) <> 'HASH (tenant_id)'";
        sql::<Text>(STRAYS).load(&mut PgConnection::establish(&self.url).expect("a connection")).expect("rows")
    }
}

fn read(log: &str, database: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut lines = log.lines().peekable();
    let prefix = format!("{database}|matrikel|");
    while let Some(line) = lines.next() {
        let Some(line) = line.strip_prefix(&prefix) else { continue };
        let mut line = line.to_owned();
        while let Some(more) = lines.next_if(|next| next.starts_with('\t')) {
            line.push('\n');
            line.push_str(more.trim_start_matches('\t'));
        }
        if let Some((_, plan)) = line.split_once("  plan:\n").filter(|_| line.starts_with("LOG:  duration")) {
            let plan: Value = serde_json::from_str(plan).unwrap_or_else(|error| panic!("{error}: {plan}"));
            let mut parts = Vec::new();
            scanned(&plan["Plan"], &mut parts);
            entries.push(Entry::Plan { text: plan["Query Text"].as_str().expect("a text").to_owned(), parts });
        } else if let Some((_, text)) = line.strip_prefix("LOG:  execute ").and_then(|rest| rest.split_once(": ")) {
            entries.push(Entry::Statement { text: text.to_owned(), values: Vec::new() });
        } else if let Some(bound) = line.strip_prefix("DETAIL:  parameters: ") {
            match entries.last_mut() {
                Some(Entry::Statement { values, .. }) => *values = bound_values(bound),
                other => panic!("values without a statement: {bound} after {other:?}"),
            }
        }
    }
    entries
}

/// The tables that a plan reads.
fn scanned(plan: &Value, found: &mut Vec<String>) {
    let reads = plan["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Scan"));
    if let Some(name) = plan["Relation Name"].as_str().filter(|_| reads) {
        found.push(name.to_owned());
    }
    plan["Plans"].as_array().into_iter().flatten().for_each(|inner| scanned(inner, found));
}

/// Reads `$1 = 'a', $2 = NULL, $3 = 'it''s'`.
fn bound_values(text: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    let mut rest = text;
    while let Some((_, value)) = rest.split_once(" = ") {
        let Some(quoted) = value.strip_prefix('\'') else {
            assert!(value.starts_with("NULL"), "{value}");
            values.push(None);
            rest = &value[4..];
            continue;
        };
        let mut found = String::new();
        let mut chars = quoted.char_indices().peekable();
        rest = "";
        while let Some((at, c)) = chars.next() {
            if c == '\'' && chars.next_if(|(_, next)| *next == '\'').is_none() {
                rest = &quoted[at + 1..];
                break;
            }
            found.push(c);
        }
        values.push(Some(found));
    }
    values
}

/// What the program asks from now on while this value lives, judged when it goes. Exists with [`WATCH`] alone.
#[derive(Debug)]
pub(crate) struct Watch(Log);

impl Watch {
    /// Over connections that are opened from now on.
    pub(crate) fn over(url: &str) -> Option<Self> {
        (std::env::var_os(WATCH).is_some() && url.starts_with("postgres")).then(|| Watch(Log::begin(url)))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A test that fails already says why.
        if std::thread::panicking() {
            return;
        }
        let faults = self.0.faults();
        assert!(faults.is_empty(), "{} statements are not a tenant's\n{}", faults.len(), faults.join("\n"));
    }
}

/// What is wrong with an entry; `None`: it is a tenant's, or on no table of tenants.
pub(crate) fn fault(entry: &Entry) -> Option<String> {
    match entry {
        Entry::Plan { text, parts } => {
            let number = |name: &String| name.rsplit_once(PART).map(|(_, number)| number.to_owned());
            let numbers: BTreeSet<Option<String>> =
                parts.iter().filter(|name| !name.starts_with("pg_") && *name != "tenant").map(number).collect();
            (numbers.len() > 1).then(|| format!("{text}\n  reads {parts:?}"))
        }
        Entry::Statement { text, values } => {
            let (_, insert) = text.split_once("INSERT INTO ")?;
            let (table, rest) = insert.split_once(" (")?;
            // Those that every machine holds whole are nobody's.
            if table.starts_with('_') || CITUS.contains(&format!("create_reference_table('{table}')")) {
                return None;
            }
            let (columns, rows) = rest.split_once(')')?;
            let rows = rows.split_once(" ON CONFLICT").map_or(rows, |(rows, _)| rows);
            // The value that each row begins with, which several may name: `($1, $2), ($1, $3)`.
            let first = |row: &str| row.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok();
            let begins: Vec<_> = rows.split("($").skip(1).map(first).collect();
            let tenants: BTreeSet<_> = begins.iter().map(|first| values.get(first.as_ref()?.checked_sub(1)?)).collect();
            let all_begin_so = begins.len() == rows.matches('(').count() && !tenants.contains(&None);
            let is_one = columns.starts_with("tenant_id, ") && all_begin_so && tenants.len() == 1;
            (!is_one).then(|| format!("{text}\n  inserts for {tenants:?}"))
        }
    }
}

/// The text of a statement as it is sent.
pub(crate) fn text(entry: &Entry) -> &str {
    match entry {
        Entry::Statement { text, .. } | Entry::Plan { text, .. } => text,
    }
}

#[test]
fn bound_values_are_read_whatever_they_hold() {
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        bound_values("$1 = '1', $2 = NULL, $3 = 'it''s, $4 = ''5''', $4 = ''"),
        [some("1"), None, some("it's, $4 = '5'"), some("")]
    );
}

#[test]
fn rows_of_two_tenants_in_one_statement_are_seen() {
    let insert = |values: &str| Entry::Statement {
        text: "INSERT INTO sweep (tenant_id, group_id) VALUES ($1, $2), ($3, $4) ".into(),
        values: bound_values(values),
    };
    assert_eq!(fault(&insert("$1 = '1', $2 = 'a', $3 = '1', $4 = 'b'")), None);
    assert!(fault(&insert("$1 = '1', $2 = 'a', $3 = '2', $4 = 'b'")).is_some());
}
