-- What a write touches. `resource_seq` held the order of `resource_modified` once more: instants and numbers of changes grow
-- together, and every change of a resource moved a row in both.
DROP INDEX resource_seq;
