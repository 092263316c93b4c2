DROP TABLE sealing_key;
DROP TABLE audit_head;
DROP TABLE audit;
ALTER TABLE change DROP COLUMN request;
ALTER TABLE change DROP COLUMN address;
ALTER TABLE change DROP COLUMN credential;
