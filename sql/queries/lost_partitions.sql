-- Collections whose sources lost a partition or a child by the command: our trigger on that table was dropped with it. Any role can
-- create a trigger of that name, so the role of the command must have the rights of the source's owner.
SELECT DISTINCT c.id
FROM pg_event_trigger_dropped_objects() d
JOIN rag.collection c ON d.classid = 'pg_trigger'::regclass AND d.address_names[3] = 'ragstone_' || c.id || '_truncate'
JOIN pg_class s ON s.oid = c.source
WHERE c.sync <> 'manual' AND pg_has_role($1, s.relowner, 'USAGE')
