ALTER TABLE tenant_clock DROP COLUMN catalog_version;
