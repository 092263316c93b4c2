-- Keys that a tenant seals with what it hands out and wants back unchanged, such as cursors. Made at first use, shared by
-- all nodes, never shown.

CREATE TABLE seal_key (
    tenant_id  BIGINT NOT NULL,
    purpose    TEXT   NOT NULL,
    key        BLOB   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, purpose)
) WITHOUT ROWID;
