-- The tables that a command changed, whether it only created an index or a trigger on them, and whether it filled them anew.
SELECT DISTINCT coalesce(i.indrelid, t.tgrelid, c.objid), c.command_tag IN ('CREATE INDEX', 'CREATE TRIGGER'),
       c.command_tag = 'REFRESH MATERIALIZED VIEW'
FROM pg_event_trigger_ddl_commands() c
LEFT JOIN pg_index i ON c.classid = 'pg_class'::regclass AND i.indexrelid = c.objid
LEFT JOIN pg_trigger t ON c.classid = 'pg_trigger'::regclass AND t.oid = c.objid
WHERE c.classid IN ('pg_class'::regclass, 'pg_trigger'::regclass)
