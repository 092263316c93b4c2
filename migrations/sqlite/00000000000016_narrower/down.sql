CREATE INDEX resource_seq ON resource (tenant_id, kind, seq);

CREATE TABLE change_member_beside (
    tenant_id BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    chunk     BIGINT NOT NULL,
    members   BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, seq, chunk)
);
INSERT INTO change_member_beside SELECT tenant_id, seq, chunk, members FROM change_member ORDER BY tenant_id, seq, chunk;
DROP TABLE change_member;
ALTER TABLE change_member_beside RENAME TO change_member;
