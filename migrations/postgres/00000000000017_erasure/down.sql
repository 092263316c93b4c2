DROP INDEX feed_record_resource;
DROP TABLE erasure;
