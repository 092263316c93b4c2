-- Requests that were answered before they were carried out, and what became of their operations so far. What came and
-- what is answered is sealed with a key of the tenant; a request's body gives way to its result.

CREATE TABLE deferred (
    tenant_id   BIGINT NOT NULL,
    request_id  BYTEA  NOT NULL,
    client_id   BYTEA  NOT NULL,
    accepted_at BIGINT NOT NULL,
    expires_at  BIGINT,
    body        BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, request_id)
);
CREATE INDEX deferred_waiting ON deferred (tenant_id, client_id, accepted_at, request_id) WHERE expires_at IS NULL;
CREATE INDEX deferred_expiry ON deferred (tenant_id, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE deferred_outcome (
    tenant_id  BIGINT NOT NULL,
    request_id BYTEA  NOT NULL,
    place      BIGINT NOT NULL,
    outcome    BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, request_id, place)
);
