-- Several kinds of credentials, dated at both ends; and where to look when a request shows something that names no tenant.

ALTER TABLE credential ADD COLUMN kind TEXT NOT NULL DEFAULT 'token';
ALTER TABLE credential ADD COLUMN label TEXT;
ALTER TABLE credential ADD COLUMN material TEXT;
ALTER TABLE credential ADD COLUMN starts_at BIGINT;
ALTER TABLE credential ADD COLUMN last_used_at BIGINT;

-- Not a tenant's: a certificate, an issuer or a host name is looked up before the tenant is known.
CREATE TABLE route (
    key       TEXT   NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL,
    target    BYTEA
);
CREATE INDEX route_tenant ON route (tenant_id, key);
