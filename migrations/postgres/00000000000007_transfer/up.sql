-- epoch moves whenever the data of a tenant were brought from elsewhere or from earlier (import, restore): what was handed
-- out before, such as cursors, is worth nothing after. import_state tells how far a file has been read in.

ALTER TABLE tenant ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

CREATE TABLE import_state (
    tenant_id BIGINT NOT NULL PRIMARY KEY,
    source    BYTEA  NOT NULL,
    lines     BIGINT NOT NULL,
    done_at   BIGINT
);
