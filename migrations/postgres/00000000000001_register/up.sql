-- The register. Names and columns are those of the SQLite migration of the same name; every key begins with the
-- tenant. Instants are microseconds since 1970-01-01T00:00:00Z; ids are 16 bytes.

CREATE TABLE tenant (
    tenant_id  BIGINT NOT NULL PRIMARY KEY,
    slug       TEXT   NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE tenant_clock (
    tenant_id   BIGINT NOT NULL PRIMARY KEY,
    seq         BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    nesting_seq BIGINT NOT NULL,
    counts      TEXT   NOT NULL,
    digest      BYTEA  NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE resource (
    tenant_id   BIGINT NOT NULL,
    resource_id BYTEA  NOT NULL,
    kind        TEXT   COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    groups_seq  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    modified_at BIGINT NOT NULL,
    label       TEXT   NOT NULL,
    doc         TEXT   NOT NULL,
    secret      BYTEA,
    PRIMARY KEY (tenant_id, resource_id)
);
CREATE INDEX resource_kind ON resource (tenant_id, kind, resource_id);
CREATE INDEX resource_modified ON resource (tenant_id, kind, modified_at, resource_id);
CREATE INDEX resource_seq ON resource (tenant_id, kind, seq);

CREATE TABLE attr_path (
    tenant_id BIGINT NOT NULL,
    path_id   BIGINT NOT NULL,
    kind      TEXT   COLLATE "C" NOT NULL,
    path      TEXT   COLLATE "C" NOT NULL,
    type      TEXT   NOT NULL,
    state     TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, path_id)
);

CREATE TABLE attr_index (
    tenant_id   BIGINT NOT NULL,
    path_id     BIGINT NOT NULL,
    value       TEXT   COLLATE "C" NOT NULL,
    resource_id BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, path_id, value, resource_id)
);

CREATE TABLE unique_key (
    tenant_id   BIGINT NOT NULL,
    namespace   TEXT   COLLATE "C" NOT NULL,
    value       TEXT   COLLATE "C" NOT NULL,
    resource_id BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, namespace, value)
);

CREATE TABLE external_id (
    tenant_id   BIGINT NOT NULL,
    domain_id   BYTEA  NOT NULL,
    kind        TEXT   COLLATE "C" NOT NULL,
    value       TEXT   COLLATE "C" NOT NULL,
    resource_id BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, domain_id, kind, value)
);
CREATE INDEX external_id_resource ON external_id (tenant_id, resource_id, domain_id);

CREATE TABLE membership (
    tenant_id   BIGINT NOT NULL,
    group_id    BYTEA  NOT NULL,
    member_id   BYTEA  NOT NULL,
    member_kind TEXT   COLLATE "C" NOT NULL,
    since_seq   BIGINT NOT NULL,
    until       BIGINT,
    PRIMARY KEY (tenant_id, group_id, member_id)
);
CREATE INDEX membership_member ON membership (tenant_id, member_id, group_id);
CREATE INDEX membership_kind ON membership (tenant_id, member_kind, group_id, member_id) WHERE member_kind <> 'User';

CREATE TABLE sweep (
    tenant_id BIGINT NOT NULL,
    group_id  BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, group_id)
);

CREATE TABLE change (
    tenant_id   BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    resource_id BYTEA  NOT NULL,
    kind        TEXT   COLLATE "C" NOT NULL,
    op          TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    actor       BYTEA  NOT NULL,
    txn         BYTEA  NOT NULL,
    cause       TEXT   NOT NULL,
    doc         TEXT,
    external    TEXT,
    secret      BYTEA,
    salt        BYTEA,
    commitment  BYTEA  NOT NULL,
    digest      BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX change_resource ON change (tenant_id, resource_id, seq);

CREATE TABLE change_member (
    tenant_id BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    chunk     BIGINT NOT NULL,
    members   BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, seq, chunk)
);

CREATE TABLE credential (
    tenant_id     BIGINT NOT NULL,
    credential_id BYTEA  NOT NULL,
    client_id     BYTEA  NOT NULL,
    digest        BYTEA  NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT,
    revoked_at    BIGINT,
    PRIMARY KEY (tenant_id, credential_id)
);
CREATE INDEX credential_client ON credential (tenant_id, client_id, credential_id);
