-- The keys that sign access tokens. Not a tenant's: there is one issuer, and every node signs with the same key.

CREATE TABLE signing_key (
    key_id     TEXT   NOT NULL PRIMARY KEY,
    algorithm  TEXT   NOT NULL,
    public     TEXT   NOT NULL,
    private    BLOB   NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    ends_at    BIGINT
);
