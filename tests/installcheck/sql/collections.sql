-- Tables to collections, kept up to date.
CREATE SCHEMA "Odd ""schema";
CREATE TABLE "Odd ""schema"."Pages $1" (
  "Part ""A" text, number numeric, "the body" varchar, "Title" text, url text, tags text[], PRIMARY KEY ("Part ""A", number));
INSERT INTO "Odd ""schema"."Pages $1" VALUES
  ('it''s', 1.5, 'A base backup copies the whole cluster.', 'Backups', 'a', '{x}'),
  ('b\s', 2, 'Vacuum reclaims the storage of dead rows.', 'Vacuum', 'b', '{y,z}'),
  ('c', 3, NULL, 'Nothing', 'c', NULL),
  ('d', 4, E' \n\t', 'Blank', 'd', NULL);
SELECT rag.create_collection('odd "one''s', '"Odd ""schema"."Pages $1"', 'the body', 'Title', '{url,tags}', sync => 'manual');
SELECT name, source, content, title, metadata, key, model, dimensions, chunk_size, chunk_overlap, splitter, language, source_rows, chunks, chunk_table, state
FROM rag.collections;
SELECT rank, source_key, title, content, metadata, vector_rank, text_rank
FROM rag.search('odd "one''s', 'how do I back up the cluster?') ORDER BY rank;
-- What a refresh does: nothing, then a row of each kind.
SELECT * FROM rag.refresh_collection('odd "one''s');
UPDATE "Odd ""schema"."Pages $1" SET "the body" = "the body" || ' It is a file-level copy.' WHERE number = 1.5;
UPDATE "Odd ""schema"."Pages $1" SET url = 'changed' WHERE number = 2;
UPDATE "Odd ""schema"."Pages $1" SET "the body" = 'Replication streams the log.' WHERE number = 3;
INSERT INTO "Odd ""schema"."Pages $1" VALUES ('e', 5, 'Indexes find rows.', NULL, NULL, NULL);
SELECT * FROM rag.refresh_collection('odd "one''s');
UPDATE "Odd ""schema"."Pages $1" SET "the body" = '' WHERE number = 3;
DELETE FROM "Odd ""schema"."Pages $1" WHERE number = 5;
SELECT * FROM rag.refresh_collection('odd "one''s');
SELECT source_key, title, content, metadata FROM rag.search('odd "one''s', 'vacuum', mode => 'text');
-- The text index holds the words of the chunks, one of which stands in a title alone.
SELECT to_tsvector('english', concat_ws(' ', c.heading, c.content)) @@ quote_literal(p.lexeme)::tsquery AS held, count(*)
FROM rag._postings('odd "one''s') p JOIN "Odd ""schema"."odd ""one's_chunks" c USING (chunk_id)
GROUP BY 1 ORDER BY 1;
-- No other role has privileges on the tables, whatever the default privileges are.
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO PUBLIC;
CREATE TABLE plain (id int PRIMARY KEY, body text);
INSERT INTO plain SELECT i, 'row ' || i || ' of a plain table' FROM generate_series(1, 5) i;
SELECT rag.create_collection('plain', 'plain', 'body', sync => 'manual');
SELECT relname, relacl FROM pg_class WHERE relname LIKE 'plain\_%' AND relkind IN ('r', 'S') AND relacl::text LIKE '%,=%' ORDER BY relname;
ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE USAGE ON SEQUENCES FROM PUBLIC;
-- Long rows are cut; a size cuts them smaller; whole documents are one chunk.
CREATE TABLE long (id uuid PRIMARY KEY, title text, body text);
INSERT INTO long VALUES ('00000000-0000-0000-0000-000000000001', 'Long', repeat('One sentence follows another. ', 200));
SELECT rag.create_collection('long', 'long', 'body', 'title', sync => 'manual');
SELECT rag.create_collection('small', 'long', 'body', 'title', chunk_size => 20, chunk_overlap => 5, sync => 'manual') > 50 AS many;
SELECT rag.create_collection('whole', 'long', 'body', 'title', chunk_size => 100000, sync => 'manual');
SELECT count(*), count(DISTINCT source_key) FROM rag.search('long', 'sentence', per_source => true);
SELECT rag.drop_collection(name) FROM (VALUES ('small'), ('whole'), ('long')) v (name);
-- Markdown chunks know their headings.
UPDATE long SET body = E'# Server\n\n## Backup\n\nTake a base backup.\n\n## Restore\n\nCopy it back.\n';
SELECT rag.create_collection('markdown', 'long', 'body', chunk_size => 10, splitter => 'markdown', sync => 'manual');
SELECT heading, content FROM rag.search('markdown', 'base backup', k => 1);
SELECT rag.drop_collection('markdown');
-- Keys of other types, partitions, materialised views.
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN short AS varchar(20) COLLATE "C";
CREATE TABLE keyed (m mood, a int[], s short, t timestamptz, body text, PRIMARY KEY (m, a, s, t));
INSERT INTO keyed VALUES ('sad', '{1,2}', 'x', '2026-01-01 00:00+00', 'a sad story'), ('happy', '{{1},{2}}', 'y', '2026-01-02 00:00+00', 'a happy story');
SELECT rag.create_collection('keyed', 'keyed', 'body', sync => 'manual');
SELECT source_key - 't' AS key, content FROM rag.search('keyed', 'happy story', mode => 'vector', k => 1);
INSERT INTO keyed VALUES ('sad', '{1,3}', 'x', '2026-01-01 00:00+00', 'another sad story');
SELECT * FROM rag.refresh_collection('keyed');
CREATE TABLE parted (id int, body text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
INSERT INTO parted SELECT i, 'the number ' || i FROM generate_series(1, 19) i;
SELECT rag.create_collection('parted', 'parted', 'body', sync => 'manual');
SELECT source_key FROM rag.search('parted', 'number 13', mode => 'text', k => 1);
CREATE MATERIALIZED VIEW digest AS SELECT id, upper(body) AS body FROM parted WHERE id < 5;
SELECT * FROM refusal($$SELECT rag.create_collection('digest', 'digest', 'body', sync => 'manual')$$);
CREATE UNIQUE INDEX ON digest (id);
SELECT rag.create_collection('digest', 'digest', 'body', sync => 'manual');
SELECT source_key, content FROM rag.search('digest', 'number 3', mode => 'text', k => 1);
CREATE UNIQUE INDEX ON digest (id, body);
SELECT * FROM refusal($$SELECT rag.create_collection('digest2', 'digest', 'body', sync => 'manual')$$);
SELECT rag.create_collection('digest2', 'digest', 'body', key => '{body,id}', sync => 'manual');
-- Another language, and a text search configuration of the user's own.
CREATE TEXT SEARCH CONFIGURATION verbatim (COPY = simple);
SELECT rag.create_collection('verbatim', 'plain', 'body', language => 'verbatim', sync => 'manual');
SELECT count(*) FROM rag.search('verbatim', 'rows', mode => 'text', typos => false);
SELECT count(*) FROM rag.search('plain', 'rows', mode => 'text');
-- What goes, goes whole.
SELECT rag.drop_collection(name) FROM rag.collections WHERE name <> 'plain' ORDER BY name;
SELECT count(*) FROM pg_class WHERE relname LIKE '%\_chunks' OR relname LIKE '%\_terms';
-- A source that was dropped leaves a collection that can be dropped.
CREATE TABLE going (id int PRIMARY KEY, body text);
INSERT INTO going VALUES (1, 'soon gone');
SELECT rag.create_collection('going', 'going', 'body', sync => 'manual');
DROP TABLE going;
SELECT * FROM refusal($$SELECT * FROM rag.search('going', 'gone')$$);
SELECT * FROM refusal($$SELECT * FROM rag.refresh_collection('going')$$);
SELECT rag.drop_collection('going');
-- Refusals.
CREATE VIEW seen AS SELECT * FROM plain;
CREATE TEMP TABLE passing (id int PRIMARY KEY, body text);
CREATE TABLE keyless (id int, body text);
CREATE TABLE occupied_chunks (x int);
SELECT * FROM refusal($$SELECT rag.create_collection('plain', 'plain', 'body', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('', 'plain', 'body', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection(repeat('x', 57)::name, 'plain', 'body', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('occupied', 'plain', 'body', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'seen', 'body', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'passing', 'body', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain_pkey', 'body', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'keyless', 'body', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'keyless', 'body', key => '{id}', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'text', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'id', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'body', 'heading', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'body', metadata => '{url}', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'body', metadata => '{NULL}', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'body', model => 'no-such-model', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'body', chunk_size => 0, sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'body', chunk_size => 10, chunk_overlap => -1, sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'body', chunk_overlap => 254, sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.create_collection('x', 'plain', 'body', splitter => 'pdf', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT rag.refresh_collection('x')$$);
SELECT * FROM refusal($$SELECT rag.drop_collection('x')$$);
SELECT name, state FROM rag.collections;
SELECT rag.drop_collection('plain');
SET client_min_messages = warning;
DROP SCHEMA "Odd ""schema" CASCADE;
DROP MATERIALIZED VIEW digest;
DROP TABLE plain, long, keyed, parted, keyless, occupied_chunks CASCADE;
DROP TEXT SEARCH CONFIGURATION verbatim;
DROP TYPE mood;
DROP DOMAIN short;
RESET client_min_messages;
