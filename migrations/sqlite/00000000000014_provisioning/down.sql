ALTER TABLE tenant_clock DROP COLUMN book_seq;
DROP TABLE lease;
DROP TABLE tombstone;
DROP TABLE grant_;
DROP TABLE due;
