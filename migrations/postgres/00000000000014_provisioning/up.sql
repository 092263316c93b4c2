-- What follows from facts by rule: when a resource is to be looked at again, which rights were given because of what, which
-- names and numbers stay taken after their owner is gone, and which process looks after a tenant's days.

-- When the scheduler looks at a resource again. For a policy, or what else many depend on, `after` is the last of the
-- resources that were told.
CREATE TABLE due (
    tenant_id   BIGINT NOT NULL,
    resource_id BYTEA  NOT NULL,
    at          BIGINT NOT NULL,
    after       BYTEA,
    PRIMARY KEY (tenant_id, resource_id)
);
CREATE INDEX due_at ON due (tenant_id, at, resource_id);

-- A right, on one ground: actually held from `since` to `until`, while the facts behind it say from `ground_from` to
-- `ground_until`.
CREATE TABLE grant_ (
    tenant_id    BIGINT NOT NULL,
    user_id      BYTEA  NOT NULL,
    target_id    BYTEA  NOT NULL,
    ground_kind  TEXT   COLLATE "C" NOT NULL,
    ground_id    TEXT   COLLATE "C" NOT NULL,
    since        BIGINT NOT NULL,
    until        BIGINT,
    ground_from  BIGINT,
    ground_until BIGINT,
    rule_version BIGINT NOT NULL,
    facts        TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, user_id, target_id, ground_kind, ground_id, since)
);
CREATE INDEX grant_target ON grant_ (tenant_id, target_id, user_id);

CREATE TABLE tombstone (
    tenant_id   BIGINT NOT NULL,
    namespace   TEXT   COLLATE "C" NOT NULL,
    value       TEXT   COLLATE "C" NOT NULL,
    resource_id BYTEA  NOT NULL,
    at          BIGINT NOT NULL,
    until       BIGINT,
    PRIMARY KEY (tenant_id, namespace, value)
);
CREATE INDEX tombstone_resource ON tombstone (tenant_id, resource_id);

-- One process at a time moves a tenant through its days.
CREATE TABLE lease (
    tenant_id BIGINT NOT NULL,
    name      TEXT   COLLATE "C" NOT NULL,
    holder    BYTEA  NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

-- Number of the newest change of a policy, a rule or what they go by.
ALTER TABLE tenant_clock ADD COLUMN book_seq BIGINT NOT NULL DEFAULT 0;
