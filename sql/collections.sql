-- Collections and their tables.

CREATE TABLE rag.collection (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  source regclass NOT NULL,
  chunk_table regclass NOT NULL UNIQUE,
  terms_table regclass NOT NULL UNIQUE,
  key_columns text[] NOT NULL,
  content_column text NOT NULL,
  title_column text,
  metadata_columns text[] NOT NULL,
  model text NOT NULL,
  fingerprint text NOT NULL,
  dimensions integer NOT NULL,
  chunk_size integer,
  chunk_overlap integer NOT NULL,
  splitter text NOT NULL,
  language text NOT NULL,
  language_place integer,
  word_parts boolean NOT NULL DEFAULT true,
  ignore_accents boolean NOT NULL DEFAULT false,
  text_builds integer NOT NULL DEFAULT 0,
  source_rows bigint NOT NULL DEFAULT 0,
  chunks bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  refreshed_at timestamptz,
  sync text NOT NULL DEFAULT 'manual',
  filled boolean NOT NULL DEFAULT true,
  error text,
  failed_since timestamptz,
  successor_of bigint,
  predecessor_of bigint,
  overlap double precision,
  paused_at timestamptz
);

-- A regclass of a dropped table is dumped as its OID, which may be another table's on the next server.
SELECT pg_catalog.pg_extension_config_dump('rag.collection',
  'WHERE (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class WHERE oid IN (source, chunk_table, terms_table)) = 3');
SELECT pg_catalog.pg_extension_config_dump('rag.collection_id_seq', '');

COMMENT ON TABLE rag.collection IS 'internal: collections as rag.create_collection made them; see rag.collections';
COMMENT ON SEQUENCE rag.collection_id_seq IS 'internal: ids of collections';
COMMENT ON COLUMN rag.collection.source IS 'table whose rows are searched';
COMMENT ON COLUMN rag.collection.chunk_table IS 'chunks of the rows with their embeddings; owned by the source''s owner, readable by no other role';
COMMENT ON COLUMN rag.collection.terms_table IS 'text index: pages of segments, added with each change and merged later; owned by the source''s owner, readable by no other role';
COMMENT ON COLUMN rag.collection.key_columns IS 'columns that identify a row of the source; key_1, key_2, … in the chunk table';
COMMENT ON COLUMN rag.collection.fingerprint IS 'fingerprint of the model that computed the embeddings';
COMMENT ON COLUMN rag.collection.chunk_size IS 'maximum tokens in a chunk; NULL: the model''s limit';
COMMENT ON COLUMN rag.collection.language IS 'text search configuration, by name: a regconfig column would stop pg_upgrade';
COMMENT ON COLUMN rag.collection.language_place IS 'position in metadata_columns of the column with a row''s own text search configuration';
COMMENT ON COLUMN rag.collection.word_parts IS 'whether compound tokens are also found by their parts';
COMMENT ON COLUMN rag.collection.ignore_accents IS 'whether letters match with and without accents';
COMMENT ON COLUMN rag.collection.text_builds IS 'number of rebuilds of the text index; words that a worker analysed before a rebuild are analysed again';
COMMENT ON COLUMN rag.collection.sync IS 'how it follows its source: background, immediate or manual';
COMMENT ON COLUMN rag.collection.filled IS 'whether the first fill has ended and the indexes exist';
COMMENT ON COLUMN rag.collection.error IS 'why it cannot follow its source';
COMMENT ON COLUMN rag.collection.failed_since IS 'when it failed or lost a table';
COMMENT ON COLUMN rag.collection.successor_of IS 'collection that this one will replace once it is built';
COMMENT ON COLUMN rag.collection.predecessor_of IS 'collection that has replaced this one, until rag.finish_migration';
COMMENT ON COLUMN rag.collection.paused_at IS 'since when rag.pause_collection keeps its changes queued';
COMMENT ON COLUMN rag.collection.overlap IS 'mean share of common results among the first 10 of sampled queries, of this collection and the one it will replace';

-- A restored table has new column numbers and may have another owner, so this table is not dumped: a collection without a row here was
-- restored, and is identified by names until the restore is complete. pg_upgrade keeps the numbers, and carries this table over.
CREATE TABLE rag._source (
  collection bigint PRIMARY KEY REFERENCES rag.collection ON DELETE CASCADE,
  owner oid NOT NULL,
  column_numbers smallint[] NOT NULL
);

COMMENT ON TABLE rag._source IS 'internal: properties of collections'' sources that are valid on this server only';
COMMENT ON COLUMN rag._source.owner IS 'role that owned the source when the collection was created or last accepted by rag.refresh_collection: workers act as this role only';
COMMENT ON COLUMN rag._source.column_numbers IS 'attribute numbers of the key, content, title (0: none) and metadata columns, by which a renamed column is found';

-- Not dumped: a worker that starts determines anew what it has to wait for.
CREATE TABLE rag._waiting (
  collection bigint PRIMARY KEY REFERENCES rag.collection ON DELETE CASCADE,
  since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  next_try timestamptz NOT NULL,
  sqlstate text NOT NULL,
  message text NOT NULL,
  hint text
);

COMMENT ON TABLE rag._waiting IS 'internal: collections that will be retried, and why; see rag.stat_collection';

-- The OID of a chunk or terms table may be another table's, even one with the same columns, if it comes from another server or is older
-- than that table. So a collection's own tables carry a mark.
CREATE VIEW rag._unmarked_tables AS
SELECT c.id AS collection,
       t.relation::oid AS relation,
       'internal: part of collection ' || c.id::text || ' (' || c.name::text || '), kept by ragstone' AS mark
FROM rag.collection c
CROSS JOIN LATERAL (VALUES (c.chunk_table), (c.terms_table)) t (relation)
JOIN pg_catalog.pg_class r ON r.oid = t.relation::oid
WHERE r.relkind <> 'r'
   OR NOT EXISTS (SELECT FROM pg_catalog.pg_description d
                  WHERE d.classoid = 'pg_catalog.pg_class'::regclass::oid AND d.objoid = r.oid AND d.objsubid = 0
                    -- The mark has the name that the collection had when the table was created.
                    AND d.description LIKE 'internal: part of collection ' || c.id::text || ' (%), kept by ragstone');

COMMENT ON VIEW rag._unmarked_tables IS 'internal: tables that lack the mark of the collection that refers to them, and the comment that is the mark';

-- The owner of the source owns the chunk and terms tables and may alter them. Statements rely on their columns and types, and run with the
-- owner's rights, so they check this view first.
CREATE VIEW rag._altered_tables AS
SELECT c.id AS collection,
       '42804' AS sqlstate,
       pg_catalog.format('column "%s" of table %s was dropped, or has another type', w.name, w.relation) AS message
FROM rag.collection c
CROSS JOIN LATERAL (VALUES
  (c.chunk_table, 'chunk_id'::name, 'bigint'::regtype::oid),
  (c.chunk_table, 'seq', 'integer'::regtype::oid),
  (c.chunk_table, 'words', 'integer'::regtype::oid),
  (c.chunk_table, 'embedding', (SELECT t.oid FROM pg_catalog.pg_type t
                                JOIN pg_catalog.pg_extension e ON e.extnamespace = t.typnamespace
                                WHERE e.extname = 'vector' AND t.typname = 'halfvec')),
  (c.chunk_table, 'start_at', 'integer'::regtype::oid),
  (c.chunk_table, 'end_at', 'integer'::regtype::oid),
  (c.chunk_table, 'heading', 'text'::regtype::oid),
  (c.chunk_table, 'content', 'text'::regtype::oid),
  (c.chunk_table, 'metadata', 'jsonb'::regtype::oid),
  (c.chunk_table, 'row_hash', 'bytea'::regtype::oid),
  (c.chunk_table, 'content_hash', 'bytea'::regtype::oid),
  (c.chunk_table, 'fingerprint', 'text'::regtype::oid),
  (c.terms_table, 'segment', 'bigint'::regtype::oid),
  (c.terms_table, 'page', 'integer'::regtype::oid),
  (c.terms_table, 'data', 'bytea'::regtype::oid)
) w (relation, name, type)
JOIN pg_catalog.pg_class r ON r.oid = w.relation::oid
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = w.relation::oid AND a.attname = w.name AND NOT a.attisdropped
WHERE a.atttypid IS DISTINCT FROM w.type OR a.attgenerated <> ''
UNION ALL
SELECT c.id,
       '42809',
       pg_catalog.format('table %s has triggers, rules, row-level security or relatives, or is not an ordinary table', t.relation)
FROM rag.collection c
CROSS JOIN LATERAL (VALUES (c.chunk_table), (c.terms_table)) t (relation)
JOIN pg_catalog.pg_class r ON r.oid = t.relation::oid
WHERE r.relkind <> 'r' OR r.relrowsecurity OR r.relforcerowsecurity
   OR EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = t.relation::oid)
   OR EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = t.relation::oid AND NOT g.tgisinternal)
   OR EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = t.relation::oid)
   OR EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = t.relation::oid)
UNION ALL
-- Triggers, rules and the like would run the owner's code, without a time limit, in ANALYZE, in merges of segments and when chunks are
-- deleted.
SELECT c.id,
       '42809',
       pg_catalog.format('table %s has foreign keys, defaults, or expressions with functions or types that are not PostgreSQL''s', t.relation)
FROM rag.collection c
CROSS JOIN LATERAL (VALUES (c.chunk_table, false), (c.terms_table, true)) t (relation, is_terms)
WHERE EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = t.relation::oid AND k.contype = 'c' AND t.is_terms)
   -- A foreign key has triggers on both of its tables.
   OR EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = t.relation::oid AND g.tgisinternal)
   OR EXISTS (SELECT FROM pg_catalog.pg_attrdef d WHERE d.adrelid = t.relation::oid)
   OR EXISTS (
     SELECT FROM (SELECT 'pg_catalog.pg_class'::regclass::oid AS class, i.indexrelid AS object FROM pg_catalog.pg_index i
                  WHERE i.indrelid = t.relation::oid AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
                  UNION ALL
                  SELECT 'pg_catalog.pg_statistic_ext'::regclass::oid, s.oid FROM pg_catalog.pg_statistic_ext s
                  WHERE s.stxrelid = t.relation::oid) e
     JOIN pg_catalog.pg_depend d ON d.classid = e.class AND d.objid = e.object
     WHERE d.refclassid IN ('pg_catalog.pg_proc'::regclass::oid, 'pg_catalog.pg_operator'::regclass::oid, 'pg_catalog.pg_type'::regclass::oid)
       -- Functions of extensions are trusted if a superuser owns them.
       AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend m
                        WHERE m.classid = d.refclassid AND m.objid = d.refobjid AND m.deptype = 'e')
            OR EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles o ON o.oid = p.proowner
                       WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass::oid AND p.oid = d.refobjid AND NOT o.rolsuper)))
UNION ALL
SELECT u.collection,
       '42809',
       pg_catalog.format('table %s was not made for the collection: its comment is not "%s"', u.relation::regclass, u.mark)
FROM rag._unmarked_tables u;

COMMENT ON VIEW rag._altered_tables IS 'internal: changes to the definition of collections'' own tables';

-- Commands under session_replication_role = replica drop tables without firing event triggers, so the tables are looked up.
CREATE VIEW rag._collection_error AS
SELECT c.id AS collection,
       coalesce(
         (SELECT 'the ' || t.what || ' no longer exists (hint: Drop the collection with rag.drop_collection and create it again.)'
          FROM (VALUES (1, 'source', c.source), (2, 'chunk table', c.chunk_table), (3, 'terms table', c.terms_table)) t (place, what, oid)
          WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class r WHERE r.oid = t.oid::oid)
          ORDER BY t.place LIMIT 1),
         (SELECT a.message FROM rag._altered_tables a WHERE a.collection = c.id LIMIT 1),
         (SELECT CASE WHEN a.attname IS NULL
                   THEN pg_catalog.format('column "%s" of the source of collection "%s" no longer exists (hint: Add it again, or drop the collection with rag.drop_collection.)', w.name, c.name)
                   ELSE pg_catalog.format('content column "%s" of the source of collection "%s" has type %s, not text (hint: Give it a text type again, or drop the collection with rag.drop_collection.)',
                                          w.name, c.name, pg_catalog.format_type(a.atttypid, NULL)) END
          FROM pg_catalog.unnest(pg_catalog.array_cat(pg_catalog.array_append(pg_catalog.array_prepend(c.content_column, c.key_columns), c.title_column),
                                                      c.metadata_columns)) WITH ORDINALITY w (name, place)
          LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.source::oid AND a.attname = w.name::name AND NOT a.attisdropped
          LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
          WHERE w.name IS NOT NULL AND (a.attname IS NULL OR (w.place = 1 AND t.typcategory <> 'S'))
          ORDER BY w.place LIMIT 1),
         (SELECT pg_catalog.format('text search configuration %s of collection "%s" no longer exists (hint: Create it again, or give the collection another one with rag.alter_collection(''%s'', language => …).)', c.language, c.name, c.name)
          WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_ts_config t JOIN pg_catalog.pg_namespace n ON n.oid = t.cfgnamespace
                            WHERE c.language IN (pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.cfgname),
                                                 CASE WHEN n.nspname = 'pg_catalog' THEN pg_catalog.quote_ident(t.cfgname) END))),
         c.error) AS message
FROM rag.collection c;

COMMENT ON VIEW rag._collection_error IS 'internal: why collections cannot follow their sources, for those that cannot';

COMMENT ON FUNCTION rag.create_collection(name, regclass, name, name, name[], text, integer, integer, text, regconfig, name[], text, boolean, boolean, name, boolean) IS
'make a table searchable: its content is cut into chunks, embedded and indexed; returns the number of chunks so far';
COMMENT ON FUNCTION rag.refresh_collection(name, boolean) IS
'bring a collection up to date with its source; unchanged text is not embedded again';
COMMENT ON FUNCTION rag.drop_collection(name, boolean) IS 'drop a collection with its chunks; the source stays';
COMMENT ON FUNCTION rag.rename_collection(name, name) IS
'give a collection another name; tools, sessions and jobs that have not ended follow it';
COMMENT ON FUNCTION rag.pause_collection(name) IS
'keep the changes of a collection''s source queued until rag.resume_collection; searches go on';
COMMENT ON FUNCTION rag.resume_collection(name) IS 'index the changes that were queued since rag.pause_collection';

ALTER FUNCTION rag.refresh_collection(name, boolean) ROWS 1;
