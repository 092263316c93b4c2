-- Moves with every change of the tenant's own schemas and resource types, and of what is indexed.

ALTER TABLE tenant_clock ADD COLUMN catalog_version BIGINT NOT NULL DEFAULT 0;
