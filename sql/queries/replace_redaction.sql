-- Deletes the row of the same name that came with the extension, to make room for the administrator's. A restore does so, too.
DELETE FROM rag.redactions r
USING rag._redaction_defaults d
WHERE r.name OPERATOR(pg_catalog.=) $1
  AND d.name OPERATOR(pg_catalog.=) r.name
  AND d.pattern OPERATOR(pg_catalog.=) r.pattern
  AND d.replacement OPERATOR(pg_catalog.=) r.replacement
  AND d.enabled OPERATOR(pg_catalog.=) r.enabled
  AND d.of_key OPERATOR(pg_catalog.=) r.of_key
