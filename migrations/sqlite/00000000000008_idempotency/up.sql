-- Writes that a client gave a key (Idempotency-Key), so that the same request is not done twice. Key and request are there
-- as digests alone; the answer is told from what it named.

CREATE TABLE idempotency (
    tenant_id BIGINT NOT NULL,
    client_id BLOB   NOT NULL,
    key       BLOB   NOT NULL,
    request   BLOB   NOT NULL,
    status    BIGINT NOT NULL,
    place     TEXT   NOT NULL,
    etag      TEXT,
    at        BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, client_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (tenant_id, at);
