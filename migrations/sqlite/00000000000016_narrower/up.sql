-- What a write touches. `resource_seq` held the order of `resource_modified` once more: instants and numbers of changes grow
-- together, and every change of a resource moved a row in both.
DROP INDEX resource_seq;

-- The deltas of members lie in their key, in the order of the changes, and not in a second tree beside it.
ALTER TABLE change_member RENAME TO change_member_beside;
CREATE TABLE change_member (
    tenant_id BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    chunk     BIGINT NOT NULL,
    members   BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, seq, chunk)
) WITHOUT ROWID;
INSERT INTO change_member SELECT tenant_id, seq, chunk, members FROM change_member_beside ORDER BY tenant_id, seq, chunk;
DROP TABLE change_member_beside;
