-- What clients have done of each sort within an hour, so that a day of it is a sum of few rows; for those who do nothing that
-- is counted there are none.
CREATE TABLE guard_count (
    tenant_id BIGINT NOT NULL,
    client_id BLOB   NOT NULL,
    sort      TEXT   NOT NULL,
    hour      BIGINT NOT NULL,
    n         BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, client_id, sort, hour)
) WITHOUT ROWID;

-- What a person decides, or has decided, about a client that has done too much of a sort.
CREATE TABLE guard_pass (
    tenant_id BIGINT NOT NULL,
    client_id BLOB   NOT NULL,
    sort      TEXT   NOT NULL,
    state     TEXT   NOT NULL,
    until     BIGINT NOT NULL,
    most      BIGINT NOT NULL,
    run_id    BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, client_id, sort)
) WITHOUT ROWID;
