-- A server of the wrapper rag ($1), whether role $2 may use it, and the options of that role's user mapping, or else of the one for
-- PUBLIC. Runs as the bootstrap superuser, since other roles cannot read all user mappings.
SELECT s.oid,
       s.srvoptions,
       pg_catalog.has_server_privilege($2, s.oid, 'USAGE'),
       (SELECT m.umoptions
        FROM pg_catalog.pg_user_mapping m
        WHERE m.umserver OPERATOR(pg_catalog.=) s.oid
          AND (m.umuser OPERATOR(pg_catalog.=) $2 OR m.umuser OPERATOR(pg_catalog.=) 0::oid)
        ORDER BY m.umuser DESC
        LIMIT 1)
FROM pg_catalog.pg_foreign_server s
JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid OPERATOR(pg_catalog.=) s.srvfdw
WHERE s.srvname OPERATOR(pg_catalog.=) $1::name AND w.fdwname OPERATOR(pg_catalog.=) 'rag'::name
