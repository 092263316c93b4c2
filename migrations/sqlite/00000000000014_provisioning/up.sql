-- What follows from facts by rule: when a resource is to be looked at again, which rights were given because of what, which
-- names and numbers stay taken after their owner is gone, and which process looks after a tenant's days.

-- When the scheduler looks at a resource again. For a policy, or what else many depend on, `after` is the last of the
-- resources that were told.
CREATE TABLE due (
    tenant_id   BIGINT NOT NULL,
    resource_id BLOB   NOT NULL,
    at          BIGINT NOT NULL,
    after       BLOB,
    PRIMARY KEY (tenant_id, resource_id)
) WITHOUT ROWID;
CREATE INDEX due_at ON due (tenant_id, at, resource_id);

-- A right, on one ground: actually held from `since` to `until`, while the facts behind it say from `ground_from` to
-- `ground_until`.
CREATE TABLE grant_ (
    tenant_id    BIGINT NOT NULL,
    user_id      BLOB   NOT NULL,
    target_id    BLOB   NOT NULL,
    ground_kind  TEXT   NOT NULL,
    ground_id    TEXT   NOT NULL,
    since        BIGINT NOT NULL,
    until        BIGINT,
    ground_from  BIGINT,
    ground_until BIGINT,
    rule_version BIGINT NOT NULL,
    facts        TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, user_id, target_id, ground_kind, ground_id, since)
) WITHOUT ROWID;
CREATE INDEX grant_target ON grant_ (tenant_id, target_id, user_id);

CREATE TABLE tombstone (
    tenant_id   BIGINT NOT NULL,
    namespace   TEXT   NOT NULL,
    value       TEXT   NOT NULL,
    resource_id BLOB   NOT NULL,
    at          BIGINT NOT NULL,
    until       BIGINT,
    PRIMARY KEY (tenant_id, namespace, value)
) WITHOUT ROWID;
CREATE INDEX tombstone_resource ON tombstone (tenant_id, resource_id);

-- One process at a time moves a tenant through its days.
CREATE TABLE lease (
    tenant_id BIGINT NOT NULL,
    name      TEXT   NOT NULL,
    holder    BLOB   NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
) WITHOUT ROWID;

-- Number of the newest change of a policy, a rule or what they go by.
ALTER TABLE tenant_clock ADD COLUMN book_seq BIGINT NOT NULL DEFAULT 0;
