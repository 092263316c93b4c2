-- The register. Names and columns are those of the PostgreSQL migration of the same name; every key begins with the
-- tenant. Instants are microseconds since 1970-01-01T00:00:00Z; ids are 16 bytes.

CREATE TABLE tenant (
    tenant_id  BIGINT NOT NULL PRIMARY KEY,
    slug       TEXT   NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE tenant_clock (
    tenant_id   BIGINT NOT NULL PRIMARY KEY,
    seq         BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    nesting_seq BIGINT NOT NULL,
    counts      TEXT   NOT NULL,
    digest      BLOB   NOT NULL
) WITHOUT ROWID;

CREATE TABLE resource (
    tenant_id   BIGINT NOT NULL,
    resource_id BLOB   NOT NULL,
    kind        TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    groups_seq  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    label       TEXT   NOT NULL,
    doc         TEXT   NOT NULL,
    secret      BLOB,
    PRIMARY KEY (tenant_id, resource_id)
);
CREATE INDEX resource_kind ON resource (tenant_id, kind, resource_id);
CREATE INDEX resource_modified ON resource (tenant_id, kind, modified_at, resource_id);
CREATE INDEX resource_seq ON resource (tenant_id, kind, seq);

CREATE TABLE attr_path (
    tenant_id BIGINT NOT NULL,
    path_id   BIGINT NOT NULL,
    kind      TEXT   NOT NULL,
    path      TEXT   NOT NULL,
    type      TEXT   NOT NULL,
    state     TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, path_id)
) WITHOUT ROWID;

CREATE TABLE attr_index (
    tenant_id   BIGINT NOT NULL,
    path_id     BIGINT NOT NULL,
    value       TEXT   NOT NULL,
    resource_id BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, path_id, value, resource_id)
) WITHOUT ROWID;

CREATE TABLE unique_key (
    tenant_id   BIGINT NOT NULL,
    namespace   TEXT   NOT NULL,
    value       TEXT   NOT NULL,
    resource_id BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, namespace, value)
) WITHOUT ROWID;

CREATE TABLE external_id (
    tenant_id   BIGINT NOT NULL,
    domain_id   BLOB   NOT NULL,
    kind        TEXT   NOT NULL,
    value       TEXT   NOT NULL,
    resource_id BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, domain_id, kind, value)
) WITHOUT ROWID;
CREATE INDEX external_id_resource ON external_id (tenant_id, resource_id, domain_id);

CREATE TABLE membership (
    tenant_id   BIGINT NOT NULL,
    group_id    BLOB   NOT NULL,
    member_id   BLOB   NOT NULL,
    member_kind TEXT   NOT NULL,
    since_seq   BIGINT NOT NULL,
    until       BIGINT,
    PRIMARY KEY (tenant_id, group_id, member_id)
) WITHOUT ROWID;
CREATE INDEX membership_member ON membership (tenant_id, member_id, group_id);
CREATE INDEX membership_kind ON membership (tenant_id, member_kind, group_id, member_id) WHERE member_kind <> 'User';

CREATE TABLE sweep (
    tenant_id BIGINT NOT NULL,
    group_id  BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, group_id)
) WITHOUT ROWID;

CREATE TABLE change (
    tenant_id   BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    resource_id BLOB   NOT NULL,
    kind        TEXT   NOT NULL,
    op          TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    actor       BLOB   NOT NULL,
    txn         BLOB   NOT NULL,
    cause       TEXT   NOT NULL,
    doc         TEXT,
    external    TEXT,
    secret      BLOB,
    salt        BLOB,
    commitment  BLOB   NOT NULL,
    digest      BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX change_resource ON change (tenant_id, resource_id, seq);

CREATE TABLE change_member (
    tenant_id BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    chunk     BIGINT NOT NULL,
    members   BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, seq, chunk)
);

CREATE TABLE credential (
    tenant_id     BIGINT NOT NULL,
    credential_id BLOB   NOT NULL,
    client_id     BLOB   NOT NULL,
    digest        BLOB   NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT,
    revoked_at    BIGINT,
    PRIMARY KEY (tenant_id, credential_id)
) WITHOUT ROWID;
CREATE INDEX credential_client ON credential (tenant_id, client_id, credential_id);
