-- What is on its way into the log.

CREATE VIEW rag.stat_log AS SELECT * FROM rag._stat_log();

GRANT SELECT ON rag.stat_log TO PUBLIC;

ALTER FUNCTION rag._stat_log() ROWS 1;

COMMENT ON VIEW rag.stat_log IS
'what was posted to this database''s log with rag.log_durability = autonomous since the engine''s start; no row while it does not run';
COMMENT ON COLUMN rag.stat_log.posted IS 'runs, steps and ends of runs';
COMMENT ON COLUMN rag.stat_log.waiting IS 'of these, not written by the database''s coordinator yet';
COMMENT ON COLUMN rag.stat_log.waiting_bytes IS 'what they take of the room that there is: 64 MB, and 200,000 of them';
COMMENT ON COLUMN rag.stat_log.lost IS 'of these, lost, since there was no room for as long as others wait';
COMMENT ON FUNCTION rag._stat_log() IS 'internal: row of rag.stat_log';
