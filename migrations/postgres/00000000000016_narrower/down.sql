CREATE INDEX resource_seq ON resource (tenant_id, kind, seq);
