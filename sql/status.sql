-- State and counters of the engine.

CREATE VIEW rag.stat_engine AS SELECT * FROM rag._stat_engine();

GRANT SELECT ON rag.stat_engine TO PUBLIC;

COMMENT ON VIEW rag.stat_engine IS 'the engine''s counters since its start, a row per model in use; no rows while it does not run';
ALTER FUNCTION rag._stat_engine() ROWS 5;
ALTER FUNCTION rag._reports() ROWS 5;
ALTER FUNCTION rag.status() ROWS 12;

COMMENT ON FUNCTION rag.status() IS 'state of Ragstone on this server, a row per property; does not start the engine';
COMMENT ON FUNCTION rag._stat_engine() IS 'internal: rows of rag.stat_engine';
COMMENT ON FUNCTION rag._reports() IS 'internal: collections of this database that sessions are filling now, as far as the current role may see them';
