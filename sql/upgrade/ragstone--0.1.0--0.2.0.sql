-- From 0.1.0 to 0.2.0: collections follow their sources. Those that are there stay manual.

\echo Use "ALTER EXTENSION ragstone UPDATE TO '0.2.0'" to load this file. \quit

ALTER TABLE rag.collection
  ADD COLUMN sync text NOT NULL DEFAULT 'manual',
  ADD COLUMN filled boolean NOT NULL DEFAULT true,
  ADD COLUMN error text,
  ADD COLUMN successor_of bigint,
  ADD COLUMN predecessor_of bigint,
  ADD COLUMN overlap double precision;

COMMENT ON COLUMN rag.collection.sync IS 'how it follows its source: background, immediate or manual';
COMMENT ON COLUMN rag.collection.filled IS 'whether the first fill has ended and the indexes are there';
COMMENT ON COLUMN rag.collection.error IS 'why it cannot follow its source';
COMMENT ON COLUMN rag.collection.successor_of IS 'collection that this one is being built to replace';
COMMENT ON COLUMN rag.collection.predecessor_of IS 'collection that has replaced this one, until rag.finish_migration';
COMMENT ON COLUMN rag.collection.overlap IS 'mean share of common results in the first 10, of sampled queries, of this collection and the one it is to replace';

-- A restored table numbers its columns anew, so this is left out of dumps: a collection without a row here was restored,
-- and goes by names until all of it is there. pg_upgrade keeps numbers, and carries this.
CREATE TABLE rag._columns (
  collection bigint PRIMARY KEY REFERENCES rag.collection ON DELETE CASCADE,
  numbers smallint[] NOT NULL
);

GRANT SELECT ON rag._columns TO PUBLIC;

COMMENT ON TABLE rag._columns IS 'internal: numbers of collections'' columns in their sources, by which a renamed column is found';
COMMENT ON COLUMN rag._columns.numbers IS 'of the key, content, title (0: none) and metadata columns';

-- A column that is not there any more has no number: it is missed when the collection is refreshed.
INSERT INTO rag._columns
SELECT c.id,
       ARRAY(
         SELECT coalesce(a.attnum, 0)
         FROM unnest(c.key_columns || c.content_column || coalesce(c.title_column, '') || c.metadata_columns)
                WITH ORDINALITY n (name, place)
         LEFT JOIN pg_attribute a ON a.attrelid = c.source AND a.attname = n.name AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY place)
FROM rag.collection c;

CREATE FUNCTION rag._upgrade_collections() RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'upgrade_collections_0_2_wrapper';
SELECT rag._upgrade_collections();
DROP FUNCTION rag._upgrade_collections();

CREATE FUNCTION rag.create_collection(
  name name,
  source regclass,
  content name,
  title name DEFAULT NULL,
  metadata name[] DEFAULT '{}',
  model text DEFAULT NULL,
  chunk_size integer DEFAULT NULL,
  chunk_overlap integer DEFAULT 0,
  splitter text DEFAULT 'text',
  language regconfig DEFAULT NULL,
  key name[] DEFAULT NULL,
  sync text DEFAULT 'background'
) RETURNS bigint VOLATILE PARALLEL UNSAFE COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'create_collection_0_2_wrapper';

-- Whom somebody forbade to make collections may not make them now either. What he decided is not to be taken for what
-- the extension brings along, since a dump would leave it out.
DO $$
DECLARE
  old regprocedure := 'rag.create_collection(name, regclass, name, name, name[], text, integer, integer, text, regconfig, name[])';
  new regprocedure := 'rag.create_collection(name, regclass, name, name, name[], text, integer, integer, text, regconfig, name[], text)';
  rights aclitem[] := (SELECT proacl FROM pg_proc WHERE oid = old);
  entry record;
BEGIN
  IF rights IS NOT NULL THEN
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', new);
    FOR entry IN
      SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS role,
             CASE WHEN is_grantable THEN 'WITH GRANT OPTION' ELSE '' END AS options
      FROM aclexplode(rights)
    LOOP
      EXECUTE format('GRANT ALL ON FUNCTION %s TO %s %s', new, entry.role, entry.options);
    END LOOP;
    DELETE FROM pg_init_privs WHERE classoid = 'pg_proc'::regclass AND objoid = new;
  END IF;
END
$$;

DROP FUNCTION rag.create_collection(name, regclass, name, name, name[], text, integer, integer, text, regconfig, name[]);

COMMENT ON FUNCTION rag.create_collection(name, regclass, name, name, name[], text, integer, integer, text, regconfig, name[], text) IS
'make a table searchable: its content is cut into chunks, embedded and indexed. sync is background (returns at once, follows the table by itself), immediate (writers wait for their rows to be searchable) or manual (filled now, brought up to date by rag.refresh_collection). Gives the number of chunks so far';

-- The view goes over to the new function, and stays for what users made of it.
ALTER FUNCTION rag._reports() RENAME TO _reports_0_1;

CREATE FUNCTION rag._reports()
RETURNS TABLE (collection text, pid integer, rows_done bigint, rows_total bigint, rate double precision)
STRICT VOLATILE PARALLEL RESTRICTED ROWS 5
LANGUAGE c AS 'MODULE_PATHNAME', '_reports_0_2_wrapper';

COMMENT ON FUNCTION rag._reports() IS 'internal: collections of this database that a session is filling at this moment';

-- A collection that is being created is seen only through its report: its row is not committed yet.
CREATE OR REPLACE VIEW rag.collections AS
SELECT coalesce(c.name, r.collection) AS name,
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
       c.source_rows,
       c.chunks,
       c.chunk_table,
       c.created_at,
       c.refreshed_at,
       CASE WHEN c.error IS NOT NULL THEN 'failed'
            WHEN c.name IS NULL THEN 'creating'
            WHEN c.sync <> 'manual' AND NOT EXISTS (SELECT FROM rag._columns n WHERE n.collection = c.id) THEN 'restoring'
            WHEN NOT c.filled THEN 'filling'
            WHEN r.collection IS NULL THEN 'ready'
            ELSE 'refreshing'
       END AS state,
       r.rows_done,
       r.rows_total,
       r.pid,
       c.sync,
       c.error
FROM (SELECT * FROM rag.collection WHERE successor_of IS NULL AND predecessor_of IS NULL) c
FULL JOIN rag._reports() r ON r.collection = c.name
WHERE c.name IS NULL
   -- NULL: the source was dropped, and what is left of the collection should be found and dropped too.
   OR coalesce(pg_catalog.has_any_column_privilege(c.source, 'SELECT'), true);

DROP FUNCTION rag._reports_0_1();

CREATE FUNCTION rag._capture() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', '_capture_wrapper';
CREATE FUNCTION rag._follow_ddl() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME', '_follow_ddl_wrapper';
CREATE FUNCTION rag.wait_until_current(collection name, timeout interval DEFAULT NULL) RETURNS boolean
VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'wait_until_current_wrapper';
CREATE FUNCTION rag.retry_failed(collection name) RETURNS bigint
STRICT VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'retry_failed_wrapper';
CREATE FUNCTION rag.alter_collection(
  name name, model text DEFAULT NULL, chunk_size integer DEFAULT NULL, chunk_overlap integer DEFAULT NULL
) RETURNS void VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'alter_collection_wrapper';
CREATE FUNCTION rag.finish_migration(name name) RETURNS void
STRICT VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'finish_migration_wrapper';
CREATE FUNCTION rag.rollback_migration(name name) RETURNS void
STRICT VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'rollback_migration_wrapper';

-- How collections follow their sources: what has changed and is not done yet, what failed, and how to see it.

-- Only ever added to by writers; the worker deletes exactly what it has read. A row without a key means that all rows are
-- to be compared.
CREATE TABLE rag._queue (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  collection bigint NOT NULL,
  key text[],
  queued_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  writer xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id()
);

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

SELECT pg_catalog.pg_extension_config_dump('rag._queue', '');
SELECT pg_catalog.pg_extension_config_dump('rag._queue_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('rag._failure', '');

COMMENT ON TABLE rag._queue IS 'internal: keys of rows that have changed and are not indexed yet';
COMMENT ON SEQUENCE rag._queue_id_seq IS 'internal: numbers of changes';
COMMENT ON COLUMN rag._queue.key IS 'the key columns as text; NULL: compare all rows';
COMMENT ON COLUMN rag._queue.writer IS 'transaction that noted it';
COMMENT ON TABLE rag._failure IS 'internal: rows that could not be indexed; see rag.failed';
COMMENT ON COLUMN rag._failure.retry_at IS 'when it is tried again; NULL: not any more';

CREATE VIEW rag.failed AS
SELECT c.name AS collection, c.source, f.key, f.attempts, f.sqlstate, f.message, f.detail, f.failed_at, f.retry_at
FROM rag._failure f
JOIN rag.collection c ON c.id = f.collection
JOIN pg_catalog.pg_class s ON s.oid = c.source
WHERE pg_catalog.pg_has_role(s.relowner, 'USAGE');

GRANT SELECT ON rag.failed TO PUBLIC;

COMMENT ON VIEW rag.failed IS 'rows that could not be indexed, for owners of their tables; retry_at NULL: given up, see rag.retry_failed';

-- Chunks and rows are the sums that search needs anyway, so they cost no counting.
CREATE VIEW rag.stat_collection AS
SELECT c.name AS collection,
       c.sync,
       c.source_rows AS rows,
       c.chunks,
       q.queued,
       f.failed,
       q.oldest AS oldest_queued_age,
       r.rate AS rows_per_second,
       pg_catalog.make_interval(secs => q.queued / nullif(r.rate, 0)) AS time_to_drain,
       pg_catalog.pg_total_relation_size(c.chunk_table) + pg_catalog.pg_total_relation_size(c.terms_table) AS bytes,
       c.error
FROM rag.collection c
LEFT JOIN LATERAL (
  SELECT pg_catalog.count(*) AS queued, pg_catalog.clock_timestamp() - pg_catalog.min(queued_at) AS oldest
  FROM rag._queue WHERE collection = c.id) q ON true
LEFT JOIN LATERAL (SELECT pg_catalog.count(*) AS failed FROM rag._failure WHERE collection = c.id) f ON true
LEFT JOIN rag._reports() r ON r.collection = c.name
WHERE c.successor_of IS NULL AND c.predecessor_of IS NULL
  AND coalesce(pg_catalog.has_any_column_privilege(c.source, 'SELECT'), true);

GRANT SELECT ON rag.stat_collection TO PUBLIC;

COMMENT ON VIEW rag.stat_collection IS 'how far each collection is behind its source; rows and chunks as of the last time that it was current';

CREATE EVENT TRIGGER ragstone_follow_ddl ON ddl_command_end
  -- A restore ends with triggers and indexes.
  WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'CREATE FOREIGN TABLE', 'ALTER TABLE', 'ALTER MATERIALIZED VIEW',
               'ALTER FOREIGN TABLE', 'REFRESH MATERIALIZED VIEW', 'CREATE TRIGGER', 'CREATE INDEX')
  EXECUTE FUNCTION rag._follow_ddl();

COMMENT ON EVENT TRIGGER ragstone_follow_ddl IS 'lets collections follow what is done to their sources'' definitions';
COMMENT ON FUNCTION rag._capture() IS 'internal: trigger that notes changed rows of a collection''s source';
COMMENT ON FUNCTION rag._follow_ddl() IS 'internal: event trigger that follows changes of a source''s definition';
COMMENT ON FUNCTION rag.wait_until_current(name, interval) IS
'wait until a collection has everything that was committed to its source; false if that took longer than the timeout';
COMMENT ON FUNCTION rag.retry_failed(name) IS 'try the rows of a collection again that had failed; gives their number';
COMMENT ON FUNCTION rag.alter_collection(name, text, integer, integer) IS
'build a collection with another model or other chunks beside it, which takes its place when it has caught up';
COMMENT ON FUNCTION rag.finish_migration(name) IS 'drop what a collection was before rag.alter_collection';
COMMENT ON FUNCTION rag.rollback_migration(name) IS 'go back to what a collection was before rag.alter_collection, or give up what is being built';

CREATE VIEW rag.migrations AS
SELECT o.name AS collection,
       CASE WHEN m.successor_of IS NULL THEN 'switched' ELSE 'building' END AS state,
       CASE WHEN m.successor_of IS NULL THEN o.model ELSE m.model END AS new_model,
       CASE WHEN m.successor_of IS NULL THEN m.model ELSE o.model END AS old_model,
       CASE WHEN m.successor_of IS NULL THEN o.chunk_size ELSE m.chunk_size END AS new_chunk_size,
       CASE WHEN m.successor_of IS NULL THEN m.chunk_size ELSE o.chunk_size END AS old_chunk_size,
       CASE WHEN m.successor_of IS NULL THEN o.overlap ELSE m.overlap END AS overlap,
       CASE WHEN m.successor_of IS NULL THEN o.error ELSE m.error END AS error
FROM rag.collection m
JOIN rag.collection o ON o.id = coalesce(m.successor_of, m.predecessor_of)
WHERE coalesce(pg_catalog.has_any_column_privilege(o.source, 'SELECT'), true);

GRANT SELECT ON rag.migrations TO PUBLIC;

COMMENT ON VIEW rag.migrations IS 'collections that rag.alter_collection changes; overlap is the mean share of common results in the first 10 of sampled queries';
