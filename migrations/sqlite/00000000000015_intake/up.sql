-- What each feed has said so far, one row a key: a digest of it, so that what is unchanged is found without reading the
-- resource, and the keys it names that lead nowhere yet. Beside it what belongs to one run and goes with it: what was
-- received, what was refused and what would become of each object, all sealed with a key of the tenant.

CREATE TABLE feed_record (
    tenant_id   BIGINT NOT NULL,
    feed_id     BLOB   NOT NULL,
    kind        TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    resource_id BLOB   NOT NULL,
    digest      BLOB   NOT NULL,
    run_id      BLOB   NOT NULL,
    op          TEXT   NOT NULL,
    open        TEXT,
    PRIMARY KEY (tenant_id, feed_id, kind, key)
) WITHOUT ROWID;
CREATE INDEX feed_record_open ON feed_record (tenant_id, feed_id, kind, key) WHERE open IS NOT NULL;

CREATE TABLE run_item (
    tenant_id BIGINT NOT NULL,
    run_id    BLOB   NOT NULL,
    list      TEXT   NOT NULL,
    place     BIGINT NOT NULL,
    body      BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, run_id, list, place)
);
