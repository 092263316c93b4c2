//! The two sets of migrations lay the same tables.

use super::harness::Fixture;

#[tokio::test]
async fn both_databases_have_the_same_tables_columns_keys_and_indexes() {
    let (sqlite, postgres) = (Fixture::sqlite(), Fixture::postgres());
    let columns = sqlite.rows(
        "SELECT t.name || '.' || c.name || ' ' || c.cid || ' ' || \
         replace(replace(c.type, 'BLOB', 'BYTEA'), 'BIGINT', 'BIGINT') || (CASE c.\"notnull\" WHEN 1 THEN ' NOT NULL' ELSE '' END) \
         FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite%' ORDER BY 1",
    );
    let mut expected = postgres.rows(
        "SELECT table_name || '.' || column_name || ' ' || (ordinal_position - 1) || ' ' || upper(data_type) || \
         (CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END) FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'",
    );
    expected.sort();
    assert!(columns.len() > 70, "{columns:?}");
    assert_eq!(columns, expected);

    let keys = sqlite.rows(
        "SELECT t.name || ' ' || (SELECT group_concat(name, ',') FROM (SELECT name FROM pragma_table_info(t.name) \
         WHERE pk > 0 ORDER BY pk)) FROM sqlite_schema t \
         WHERE t.type = 'table' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite%' ORDER BY 1",
    );
    let mut expected = postgres.rows(
        "SELECT c.relname || ' ' || string_agg(a.attname, ',' ORDER BY k.place) FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
         CROSS JOIN unnest(i.indkey::int[]) WITH ORDINALITY AS k (column_, place) \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.column_ \
         WHERE i.indisprimary AND c.relname NOT LIKE '\\_\\_%' GROUP BY c.relname",
    );
    expected.sort();
    assert_eq!(keys, expected);
    let tenant_first = |key: &&String| !key.split(' ').nth(1).is_some_and(|key| key.starts_with("tenant_id"));
    // What leads to a tenant is asked for before the tenant is known; the server signs for all tenants.
    assert_eq!(keys.iter().filter(tenant_first).collect::<Vec<_>>(), ["route key", "signing_key key_id"]);

    let indexes = sqlite.rows(
        "SELECT i.name || ' ON ' || i.tbl_name || ' ' || (SELECT group_concat(name, ',') FROM (SELECT name \
         FROM pragma_index_info(i.name) ORDER BY seqno)) || (CASE WHEN i.sql LIKE '% WHERE %' THEN ' partial' ELSE '' END) \
         FROM sqlite_schema i WHERE i.type = 'index' AND i.sql IS NOT NULL ORDER BY 1",
    );
    let mut expected = postgres.rows(
        "SELECT x.relname || ' ON ' || c.relname || ' ' || string_agg(a.attname, ',' ORDER BY k.place) || \
         (CASE WHEN i.indpred IS NULL THEN '' ELSE ' partial' END) FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
         CROSS JOIN unnest(i.indkey::int[]) WITH ORDINALITY AS k (column_, place) \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.column_ \
         WHERE NOT i.indisprimary AND x.relname NOT LIKE '%\\_key' GROUP BY x.relname, c.relname, i.indpred IS NULL",
    );
    expected.sort();
    assert!(indexes.len() >= 8, "{indexes:?}");
    assert_eq!(indexes, expected);

    for fixture in [&sqlite, &postgres] {
        assert_eq!(store::pending(&fixture.url()).unwrap(), Vec::<String>::new());
        assert_eq!(store::migrate(&fixture.url()).unwrap(), Vec::<String>::new());
    }
    assert_eq!(names("sqlite"), names("postgres"));
}

/// The names of the migrations of a database.
fn names(database: &str) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
