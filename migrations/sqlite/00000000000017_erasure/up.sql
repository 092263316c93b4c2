-- Whom nothing is to be kept of any more, and how far that has come: looked for in what runs have left (`runs_at`), and erased
-- but for evidence that is kept (`done_at`). A row says nothing of a person but the id, and stays: an older copy of the
-- register that is brought back is told by it whom to erase again.
CREATE TABLE erasure (
    tenant_id   BIGINT NOT NULL,
    resource_id BLOB   NOT NULL,
    kind        TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    runs_at     BIGINT,
    done_at     BIGINT,
    PRIMARY KEY (tenant_id, resource_id)
) WITHOUT ROWID;
CREATE INDEX erasure_begun ON erasure (tenant_id, resource_id) WHERE runs_at IS NULL;

-- What feeds have said of somebody is found by the resource.
CREATE INDEX feed_record_resource ON feed_record (tenant_id, resource_id);
