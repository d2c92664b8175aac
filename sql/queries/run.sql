-- A run of a role: its agent, when it began, the number of its last step.
SELECT r.agent,
       r.started,
       (SELECT pg_catalog.max(s.number) FROM rag._steps s WHERE s.run_id OPERATOR(pg_catalog.=) r.id)
FROM rag._runs r
WHERE r.id OPERATOR(pg_catalog.=) $1 AND r.owner OPERATOR(pg_catalog.=) $2
