-- Lays the register's tables out over a Citus cluster, by tenant. Run it once on the coordinator, after `matrikel migrate`
-- and `CREATE EXTENSION citus`, before the first tenant or with every server stopped:
--
--   psql -X -v ON_ERROR_STOP=1 --single-transaction -d URL -f tools/citus.sql
--
-- Every table is cut up by its first key column, and all are colocated, so the rows of a tenant lie on one node and each
-- statement of a tenant goes there and nowhere else. docs/SCALING.md says what this brings and what it does not.
-- Needs Citus 11.2 or newer: older ones run a snapshot on the nodes as READ COMMITTED.

-- Small, read by every node, written by an operator alone.
SELECT create_reference_table('tenant');
SELECT create_reference_table('route');
SELECT create_reference_table('signing_key');
SELECT create_reference_table('__diesel_schema_migrations');

-- The clock first: the others lie where it lies, as its lock is the tenant's write lock.
SELECT create_distributed_table('tenant_clock', 'tenant_id', colocate_with => 'none');
SELECT create_distributed_table('resource', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('attr_path', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('attr_index', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('unique_key', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('external_id', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('membership', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('sweep', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('change', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('change_member', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('credential', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('seal_key', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('deferred', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('deferred_outcome', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('idempotency', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('feed_record', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('run_item', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('import_state', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('audit', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('audit_head', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('sealing_key', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('due', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('grant_', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('tombstone', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('erasure', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('lease', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('guard_count', 'tenant_id', colocate_with => 'tenant_clock');
SELECT create_distributed_table('guard_pass', 'tenant_id', colocate_with => 'tenant_clock');
