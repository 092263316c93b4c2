-- What each feed has said so far, one row a key: a digest of it, so that what is unchanged is found without reading the
-- resource, and the keys it names that lead nowhere yet. Beside it what belongs to one run and goes with it: what was
-- received, what was refused and what would become of each object, all sealed with a key of the tenant.

CREATE TABLE feed_record (
    tenant_id   BIGINT NOT NULL,
    feed_id     BYTEA  NOT NULL,
    kind        TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    resource_id BYTEA  NOT NULL,
    digest      BYTEA  NOT NULL,
    run_id      BYTEA  NOT NULL,
    op          TEXT   NOT NULL,
    open        TEXT,
    PRIMARY KEY (tenant_id, feed_id, kind, key)
);
CREATE INDEX feed_record_open ON feed_record (tenant_id, feed_id, kind, key) WHERE open IS NOT NULL;

CREATE TABLE run_item (
    tenant_id BIGINT NOT NULL,
    run_id    BYTEA  NOT NULL,
    list      TEXT   NOT NULL,
    place     BIGINT NOT NULL,
    body      BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, run_id, list, place)
);
