-- Collections of sources that have lost a partition or a child by a command that a role may have given, seen by its trigger, which has
-- gone with it.
SELECT DISTINCT c.id
FROM pg_event_trigger_dropped_objects() d
JOIN rag.collection c ON d.classid = 'pg_trigger'::regclass AND d.address_names[3] = 'ragstone_' || c.id || '_truncate'
JOIN pg_class s ON s.oid = c.source
WHERE c.sync <> 'manual' AND pg_has_role($1, s.relowner, 'USAGE')
