DROP TABLE guard_pass;
DROP TABLE guard_count;
