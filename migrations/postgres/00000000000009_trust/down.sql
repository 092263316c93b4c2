DROP TABLE route;
ALTER TABLE credential DROP COLUMN last_used_at;
ALTER TABLE credential DROP COLUMN starts_at;
ALTER TABLE credential DROP COLUMN material;
ALTER TABLE credential DROP COLUMN label;
ALTER TABLE credential DROP COLUMN kind;
