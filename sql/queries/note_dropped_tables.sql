-- Records when collections lost a table. A locked row is skipped: the session that locks it may wait for a lock of this command.
UPDATE rag.collection SET failed_since = clock_timestamp()
WHERE id IN (SELECT c.id FROM rag.collection c
             WHERE c.failed_since IS NULL
               AND EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d
                           WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0
                             AND d.objid IN (c.source, c.chunk_table, c.terms_table))
             FOR NO KEY UPDATE SKIP LOCKED)
