-- Entries on their way into the log.

CREATE VIEW rag.stat_log AS SELECT * FROM rag._stat_log();

GRANT SELECT ON rag.stat_log TO PUBLIC;

ALTER FUNCTION rag._stat_log() ROWS 1;

COMMENT ON VIEW rag.stat_log IS
'entries sent to this database''s log with rag.log_durability = autonomous since the engine''s start; no row while it does not run';
COMMENT ON COLUMN rag.stat_log.posted IS 'runs, steps and ends of runs';
COMMENT ON COLUMN rag.stat_log.waiting IS 'of these, not written by the database''s coordinator yet; 200,000 at most';
COMMENT ON COLUMN rag.stat_log.waiting_bytes IS 'bytes that the waiting entries take; 64 MB at most';
COMMENT ON COLUMN rag.stat_log.lost IS 'of these, dropped for lack of room';
COMMENT ON FUNCTION rag._stat_log() IS 'internal: row of rag.stat_log';
