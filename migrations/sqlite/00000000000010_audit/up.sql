-- What is told of a change beside its actor: which credential, from which address, by which request. Content, as the
-- document is: erased with it.

ALTER TABLE change ADD COLUMN credential BLOB;
ALTER TABLE change ADD COLUMN address TEXT;
ALTER TABLE change ADD COLUMN request TEXT;

-- What leaves no change and is to be remembered all the same: requests that were denied, and acts of administration. A chain
-- of its own, whose head lies beside it.

CREATE TABLE audit (
    tenant_id  BIGINT NOT NULL,
    n          BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    content    TEXT,
    salt       BLOB,
    commitment BLOB   NOT NULL,
    digest     BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, n)
);

CREATE TABLE audit_head (
    tenant_id BIGINT NOT NULL PRIMARY KEY,
    n         BIGINT NOT NULL,
    last_at   BIGINT NOT NULL,
    digest    BLOB   NOT NULL
) WITHOUT ROWID;

-- The keys that a tenant's secrets are sealed under (purpose seal) and found by (purpose find), each sealed under a
-- master key that the database does not have.

CREATE TABLE sealing_key (
    tenant_id  BIGINT NOT NULL,
    purpose    TEXT   NOT NULL,
    key_id     BIGINT NOT NULL,
    master     TEXT   NOT NULL,
    sealed     BLOB   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, purpose, key_id)
) WITHOUT ROWID;
