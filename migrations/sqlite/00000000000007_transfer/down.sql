DROP TABLE import_state;
ALTER TABLE tenant DROP COLUMN epoch;
