DROP TABLE run_item;
DROP TABLE feed_record;
