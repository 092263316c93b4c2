DROP TABLE seal_key;
