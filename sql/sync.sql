-- How collections follow their sources: the queue of changes, failures, and the views that show them.

CREATE FUNCTION rag._text("any") RETURNS text LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'ragstone_text';

-- Writers only insert; the worker deletes exactly the rows that it has read. A row without a key requests a comparison of all rows.
CREATE TABLE rag._queue (
  id bigint GENERATED ALWAYS AS IDENTITY,
  collection bigint NOT NULL,
  key text[],
  queued_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  writer xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
  is_fill boolean NOT NULL DEFAULT false,
  -- Collections take turns, and within one, changes precede rows that a comparison with the source queued. No other index has the
  -- ids in order: with statistics that say all rows are of one kind, the planner would find a scan of it as cheap.
  PRIMARY KEY (collection, is_fill, id)
);

-- A search looks up the rows of its hits here, since text older than its row is not shown. A hash index, because keys can be longer than
-- a B-tree permits.
CREATE INDEX ON rag._queue USING hash (key);

CREATE TABLE rag._failure (
  collection bigint NOT NULL,
  key text[] NOT NULL,
  attempts integer NOT NULL,
  retry_at timestamptz,
  sqlstate text NOT NULL,
  message text NOT NULL,
  detail text,
  failed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  PRIMARY KEY (collection, key)
);

CREATE INDEX ON rag._failure (retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX ON rag._failure (collection, retry_at) WHERE retry_at IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('rag._queue', '');
SELECT pg_catalog.pg_extension_config_dump('rag._queue_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('rag._failure', '');

COMMENT ON TABLE rag._queue IS 'internal: keys of changed rows that are not indexed yet';
COMMENT ON SEQUENCE rag._queue_id_seq IS 'internal: numbers of changes';
COMMENT ON COLUMN rag._queue.key IS 'values of the key columns as text; NULL: compare all rows';
COMMENT ON COLUMN rag._queue.writer IS 'transaction that queued it';
COMMENT ON COLUMN rag._queue.is_fill IS 'whether a comparison with the source queued it, as in a first fill, and not a trigger';
COMMENT ON TABLE rag._failure IS 'internal: rows that could not be indexed; see rag.failed';
COMMENT ON COLUMN rag._failure.retry_at IS 'time of the next attempt; NULL: given up';

CREATE VIEW rag.failed WITH (security_barrier) AS
SELECT c.name AS collection, c.source, f.key, f.attempts, f.sqlstate, f.message, f.detail, f.failed_at, f.retry_at
FROM rag._failure f
JOIN rag.collection c ON c.id = f.collection
JOIN pg_catalog.pg_class s ON s.oid = c.source::oid
WHERE pg_catalog.pg_has_role(s.relowner, 'USAGE');

GRANT SELECT ON rag.failed TO PUBLIC;

COMMENT ON VIEW rag.failed IS 'rows that could not be indexed, shown to the owners of their tables';

-- The state of each collection, for all views. A collection that is being created is visible only through its report, since its row is
-- not committed yet. A collection without work is current, even if its provider fails.
CREATE VIEW rag._collection_state AS
SELECT c.id,
       coalesce(c.name, r.collection) AS name,
       s.state,
       CASE s.state
         WHEN 'failed' THEN q.problem
         WHEN 'waiting' THEN CASE WHEN o.accepted <> o.now
           THEN 'the owner of the source has changed (hint: Its new owner calls rag.refresh_collection.)'
           ELSE w.sqlstate || ': ' || w.message || coalesce(' (hint: ' || w.hint || ')', '') END
         WHEN 'restoring' THEN 'its tables are being restored from a dump'
         WHEN 'indexing' THEN CASE WHEN NOT q.queued AND q.retry_at IS NOT NULL THEN 'rows that failed are tried again: see rag.failed' END
       END AS reason,
       CASE s.state
         WHEN 'failed' THEN c.failed_since
         WHEN 'creating' THEN pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => r.elapsed)
         WHEN 'waiting' THEN w.since
         WHEN 'filling' THEN c.created_at
         WHEN 'indexing' THEN coalesce(
           least((SELECT queued_at FROM rag._queue WHERE collection = c.id AND NOT is_fill ORDER BY id LIMIT 1),
                 (SELECT queued_at FROM rag._queue WHERE collection = c.id AND is_fill ORDER BY id LIMIT 1)),
           (SELECT failed_at FROM rag._failure WHERE collection = c.id AND retry_at IS NOT NULL ORDER BY retry_at LIMIT 1),
           pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => r.elapsed))
         WHEN 'paused' THEN c.paused_at
         WHEN 'current' THEN c.refreshed_at
       END AS since,
       CASE s.state WHEN 'waiting' THEN w.next_try WHEN 'indexing' THEN CASE WHEN NOT q.queued THEN q.retry_at END END AS next_try,
       coalesce(r.rows_done, 0) AS rows_done,
       CASE WHEN c.sync <> 'manual' THEN (SELECT pg_catalog.count(*) FROM rag._queue WHERE collection = c.id)
            ELSE coalesce(greatest(r.rows_total - r.rows_done, 0), 0)
       END AS rows_left,
       r.rate,
       r.pid,
       CASE WHEN c.id IS NULL
         THEN EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = r.pid AND pg_catalog.pg_has_role(a.usesysid, 'USAGE'))
         -- If the source was dropped, its last owner has to find the rest in order to drop it. 10 is the bootstrap superuser.
         ELSE c.successor_of IS NULL AND c.predecessor_of IS NULL
           AND coalesce(pg_catalog.has_any_column_privilege(c.source, 'SELECT'), pg_catalog.pg_has_role(coalesce(o.accepted, 10), 'USAGE'))
       END AS is_visible,
       coalesce(pg_catalog.row_security_active(c.source::oid), false) AS hides_rows
FROM rag.collection c
FULL JOIN (SELECT collection, pg_catalog.min(pid) AS pid, pg_catalog.sum(rows_done)::bigint AS rows_done,
                  pg_catalog.sum(rows_total)::bigint AS rows_total, pg_catalog.sum(rate) AS rate, pg_catalog.max(elapsed) AS elapsed
           FROM rag._reports() GROUP BY collection) r ON r.collection = c.name
LEFT JOIN rag._waiting w ON w.collection = c.id
CROSS JOIN LATERAL (
  SELECT EXISTS (SELECT FROM rag._queue WHERE collection = c.id) AS queued,
         (SELECT pg_catalog.min(retry_at) FROM rag._failure WHERE collection = c.id AND retry_at IS NOT NULL) AS retry_at,
         (SELECT e.message FROM rag._collection_error e WHERE e.collection = c.id) AS problem) q
LEFT JOIN LATERAL (
  SELECT n.owner AS accepted, (SELECT relowner FROM pg_catalog.pg_class WHERE oid = c.source::oid) AS now
  FROM rag._source n WHERE n.collection = c.id) o ON true
CROSS JOIN LATERAL (
  SELECT CASE WHEN c.id IS NULL THEN 'creating'
              WHEN q.problem IS NOT NULL THEN 'failed'
              WHEN c.sync = 'manual' THEN CASE WHEN r.pid IS NULL THEN 'current' ELSE 'indexing' END
              WHEN o.accepted IS NULL THEN 'restoring'
              WHEN o.accepted <> o.now THEN 'waiting'
              WHEN c.paused_at IS NOT NULL THEN 'paused'
              WHEN c.filled AND NOT q.queued AND q.retry_at IS NULL THEN 'current'
              WHEN w.collection IS NOT NULL THEN 'waiting'
              WHEN c.filled THEN 'indexing'
              ELSE 'filling'
         END AS state) s;

COMMENT ON VIEW rag._collection_state IS 'internal: the state of each collection and its progress, as rag.collections and rag.stat_collection show them';
COMMENT ON COLUMN rag._collection_state.is_visible IS 'whether the reader may see it, and it is not part of a migration';
COMMENT ON COLUMN rag._collection_state.hides_rows IS 'whether row-level security hides rows of the source from the reader, so that counts would reveal them';
COMMENT ON COLUMN rag._collection_state.state IS
'creating: its transaction has not ended. restoring: a dump is being restored. filling: the first fill, up to its indexes. indexing: changes are queued, failed rows are retried, or rag.refresh_collection runs. current: nothing is to be done, or the collection is manual and no session refreshes it. waiting: work is to be done, and is retried at next_try. paused: changes are queued until rag.resume_collection. failed: it does not follow its source';

CREATE VIEW rag.collections WITH (security_barrier) AS
SELECT s.name,
       s.id,
       c.source,
       c.content_column AS content,
       c.title_column AS title,
       c.metadata_columns AS metadata,
       c.key_columns AS key,
       c.model,
       c.dimensions,
       c.chunk_size,
       c.chunk_overlap,
       c.splitter,
       c.language,
       c.metadata_columns[c.language_place] AS language_column,
       c.word_parts,
       c.ignore_accents,
       CASE WHEN NOT s.hides_rows THEN c.source_rows END AS source_rows,
       CASE WHEN NOT s.hides_rows THEN c.chunks END AS chunks,
       c.chunk_table,
       c.created_at,
       c.refreshed_at,
       c.sync,
       s.state,
       s.reason,
       s.since,
       s.next_try,
       s.rows_done,
       s.rows_left,
       s.pid
FROM rag._collection_state s
LEFT JOIN rag.collection c ON c.id = s.id
WHERE s.is_visible;

GRANT SELECT ON rag.collections TO PUBLIC;

COMMENT ON VIEW rag.collections IS 'collections of whose source the reader may read a column, their state, and the progress of their creation or refresh';
COMMENT ON COLUMN rag.collections.id IS 'number that is sent on the channel rag_current when it becomes current';
COMMENT ON COLUMN rag.collections.source_rows IS 'NULL, as is chunks, for roles from which row-level security hides rows of the source';
COMMENT ON COLUMN rag.collections.state IS 'creating, restoring, filling, indexing, current, waiting, paused or failed';
COMMENT ON COLUMN rag.collections.reason IS 'why it has failed, or what it waits for';
COMMENT ON COLUMN rag.collections.since IS 'when it entered this state';
COMMENT ON COLUMN rag.collections.next_try IS 'when a waiting collection is retried';

-- Chunks and rows are the sums that search keeps anyway, so that nothing is counted here.
CREATE VIEW rag.stat_collection WITH (security_barrier) AS
SELECT s.name AS collection,
       c.sync,
       s.state,
       s.reason,
       s.since,
       s.next_try,
       CASE WHEN NOT s.hides_rows THEN coalesce(c.source_rows, 0) END AS rows,
       CASE WHEN NOT s.hides_rows THEN coalesce(c.chunks, 0) END AS chunks,
       q.queued,
       CASE WHEN NOT s.hides_rows THEN f.failed END AS failed,
       q.oldest AS oldest_queued_age,
       s.rows_done,
       s.rows_left,
       s.rate AS rows_per_second,
       pg_catalog.make_interval(secs => s.rows_left::double precision / nullif(s.rate, 0::double precision)) AS time_to_drain,
       rag._table_bytes(c.chunk_table::oid) + rag._table_bytes(c.terms_table::oid) AS bytes
FROM rag._collection_state s
LEFT JOIN rag.collection c ON c.id = s.id
LEFT JOIN LATERAL (
  SELECT pg_catalog.count(*) AS queued, pg_catalog.clock_timestamp() - pg_catalog.min(queued_at) AS oldest
  FROM rag._queue WHERE collection = c.id) q ON true
LEFT JOIN LATERAL (SELECT pg_catalog.count(*) AS failed FROM rag._failure WHERE collection = c.id) f ON true
WHERE s.is_visible;

GRANT SELECT ON rag.stat_collection TO PUBLIC;

COMMENT ON VIEW rag.stat_collection IS 'state of each collection, and how far it is behind its source';
COMMENT ON COLUMN rag.stat_collection.rows IS 'as of the last time that it was current; rows, chunks and failed are NULL for roles from which row-level security hides rows of the source';
COMMENT ON COLUMN rag.stat_collection.chunks IS 'as of the last time that it was current';
COMMENT ON COLUMN rag.stat_collection.queued IS 'changes in the queue';
COMMENT ON COLUMN rag.stat_collection.oldest_queued_age IS 'age of the oldest of them';
COMMENT ON COLUMN rag.stat_collection.rows_done IS 'rows indexed since the worker, or the session that creates or refreshes the collection, started';
COMMENT ON COLUMN rag.stat_collection.bytes IS 'size on disk of its two tables with their indexes; NULL while a session has locked one of them';
COMMENT ON COLUMN rag.stat_collection.time_to_drain IS 'time for rows_left at rows_per_second';

CREATE EVENT TRIGGER ragstone_follow_ddl ON ddl_command_end
  -- CREATE TRIGGER and CREATE INDEX, because a restore ends with them.
  WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'CREATE FOREIGN TABLE', 'ALTER TABLE', 'ALTER MATERIALIZED VIEW',
               'ALTER FOREIGN TABLE', 'REFRESH MATERIALIZED VIEW', 'CREATE TRIGGER', 'CREATE INDEX',
               'ALTER TEXT SEARCH CONFIGURATION', 'ALTER SCHEMA', 'ALTER EXTENSION')
  EXECUTE FUNCTION rag._follow_ddl();

-- At the end of a command nothing tells which objects it renamed, so names are read at its start.
CREATE EVENT TRIGGER ragstone_follow_names ON ddl_command_start
  WHEN TAG IN ('ALTER TEXT SEARCH CONFIGURATION', 'ALTER SCHEMA', 'ALTER EXTENSION')
  EXECUTE FUNCTION rag._follow_names();

-- This remembers the table; ragstone_follow_ddl finds the changed rows at the end of the command.
CREATE EVENT TRIGGER ragstone_follow_rewrites ON table_rewrite EXECUTE FUNCTION rag._follow_rewrites();

CREATE EVENT TRIGGER ragstone_follow_drops ON sql_drop EXECUTE FUNCTION rag._follow_drops();

COMMENT ON EVENT TRIGGER ragstone_follow_ddl IS 'makes collections follow changes to the definitions of their sources';
COMMENT ON EVENT TRIGGER ragstone_follow_rewrites IS 'makes collections notice commands that compute a table''s values anew';
COMMENT ON EVENT TRIGGER ragstone_follow_names IS 'makes collections follow renamed text search configurations';
COMMENT ON EVENT TRIGGER ragstone_follow_drops IS 'makes collections notice columns that are dropped together with another object, such as their type';
COMMENT ON FUNCTION rag._capture() IS 'internal: trigger that queues changed rows of a collection''s source';
COMMENT ON FUNCTION rag._is_built_in("any") IS 'internal: whether the argument''s type is built into PostgreSQL, so that its casts are no user''s code';
COMMENT ON FUNCTION rag._table_bytes(oid) IS 'internal: size on disk of a table with its indexes; NULL while a session has locked it';
COMMENT ON FUNCTION rag._follow_ddl() IS 'internal: event trigger that follows changes to a source''s definition';
COMMENT ON FUNCTION rag._follow_rewrites() IS 'internal: event trigger that remembers the tables that a command rewrites';
COMMENT ON FUNCTION rag._follow_names() IS 'internal: event trigger that remembers the objects that a command may rename';
COMMENT ON FUNCTION rag._text("any") IS 'internal: a value as text, by the output function of its type and without a cast';
COMMENT ON FUNCTION rag._follow_drops() IS 'internal: event trigger that notices dropped columns of sources';
COMMENT ON FUNCTION rag.wait_until_current(name, interval) IS
'wait until everything committed to a collection''s source is searchable; returns false if the timeout is over first';
COMMENT ON FUNCTION rag.wait_for_migration(name, interval) IS
'wait until the new version of a collection, made by rag.alter_collection, is searched; returns false if the timeout is over first';
COMMENT ON FUNCTION rag.retry_failed(name) IS 'retry the failed rows of a collection; returns their number';
COMMENT ON FUNCTION rag.alter_collection(name, text, integer, integer, regconfig, boolean, boolean) IS
'change the model, the chunks or the analysis of words of a collection, which stays searchable meanwhile';
COMMENT ON FUNCTION rag.finish_migration(name) IS 'drop the state that a collection had before rag.alter_collection';
COMMENT ON FUNCTION rag.rollback_migration(name) IS 'return a collection to its state before rag.alter_collection, or abandon a migration that is still being built';

CREATE VIEW rag.migrations WITH (security_barrier) AS
SELECT o.name AS collection,
       CASE WHEN m.successor_of IS NULL THEN 'switched' ELSE 'building' END AS state,
       CASE WHEN m.successor_of IS NULL THEN o.model ELSE m.model END AS new_model,
       CASE WHEN m.successor_of IS NULL THEN m.model ELSE o.model END AS old_model,
       CASE WHEN m.successor_of IS NULL THEN o.chunk_size ELSE m.chunk_size END AS new_chunk_size,
       CASE WHEN m.successor_of IS NULL THEN m.chunk_size ELSE o.chunk_size END AS old_chunk_size,
       CASE WHEN m.successor_of IS NULL THEN o.overlap ELSE m.overlap END AS overlap,
       (SELECT e.message FROM rag._collection_error e
        WHERE e.collection = CASE WHEN m.successor_of IS NULL THEN o.id ELSE m.id END) AS error
FROM rag.collection m
JOIN rag.collection o ON o.id = coalesce(m.successor_of, m.predecessor_of)
WHERE coalesce(pg_catalog.has_any_column_privilege(o.source, 'SELECT'), false);

GRANT SELECT ON rag.migrations TO PUBLIC;

COMMENT ON VIEW rag.migrations IS 'migrations that rag.alter_collection began';
COMMENT ON COLUMN rag.migrations.state IS 'building: the new collection has not caught up. switched: it is searched, and rag.finish_migration or rag.rollback_migration ends the migration';
COMMENT ON COLUMN rag.migrations.overlap IS 'mean share of common rows among the first 10 of both collections, of 20 sampled queries';
