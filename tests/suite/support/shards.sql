-- Stand-ins for two functions of Citus, so that `tools/citus.sql` runs as it is on a plain PostgreSQL: a distributed table
-- becomes one that is cut into eight parts by the hash of its distribution column, with the same keys. PostgreSQL refuses
-- the same keys that Citus refuses, and its planner looks for the part that a statement needs in the same conditions.

CREATE FUNCTION create_reference_table(laid regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COMMENT ON TABLE %s IS ''reference''', laid);
END $$;

CREATE FUNCTION create_distributed_table(laid regclass, distribution_column text, colocate_with text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := laid::text;
BEGIN
    IF colocate_with <> 'none' AND obj_description(colocate_with::regclass) <> 'distributed' THEN
        RAISE EXCEPTION '% is to lie beside %, which is not laid out yet', name, colocate_with;
    END IF;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', name, name || '_whole');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY HASH (%I)', name, name || '_whole', distribution_column);
    FOR part IN 0..7 LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 8, REMAINDER %s)',
                       name || '_part' || part, name, part);
    END LOOP;
    EXECUTE format('INSERT INTO %I SELECT * FROM %I', name, name || '_whole');
    EXECUTE format('DROP TABLE %I', name || '_whole');
    EXECUTE format('COMMENT ON TABLE %I IS ''distributed''', name);
END $$;
