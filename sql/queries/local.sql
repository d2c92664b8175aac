-- Whether the command that has ended gave the server local options or a user mapping.
SELECT FROM pg_event_trigger_ddl_commands() c
LEFT JOIN pg_user_mappings m ON c.classid = 'pg_user_mapping'::regclass AND m.umid = c.objid
JOIN pg_foreign_server s ON s.oid = CASE c.classid WHEN 'pg_foreign_server'::regclass THEN c.objid ELSE m.srvid END
JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE w.fdwname = 'rag' AND s.srvname = 'local' AND (m.umid IS NOT NULL OR s.srvoptions IS NOT NULL)
