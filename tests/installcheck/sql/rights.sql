-- Whose rights count: the source's owner makes collections, the chunk table's owner reads candidates, the caller sees rows.
CREATE ROLE regress_owner;
CREATE ROLE regress_reader;
CREATE SCHEMA app AUTHORIZATION regress_owner;
GRANT USAGE ON SCHEMA app TO regress_reader;
SET ROLE regress_owner;
CREATE TABLE app.notes (id int PRIMARY KEY, tenant name, title text, body text, secret text);
INSERT INTO app.notes SELECT i, CASE WHEN i % 4 = 0 THEN 'regress_reader' ELSE 'regress_owner' END, 'Note ' || i, 'the harbour of town ' || i, 'secret'
FROM generate_series(1, 40) i;
SELECT rag.create_collection('notes', 'app.notes', 'body', 'title', '{tenant}', sync => 'manual');
-- Without rights on the source nothing is found, nor is it said whether there is anything.
SET ROLE regress_reader;
SELECT * FROM refusal($$SELECT * FROM rag.search('notes', 'harbour')$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('notes', '')$$);
SELECT * FROM refusal($$SELECT content FROM app.notes_chunks$$);
SELECT * FROM refusal($$SELECT data FROM app.notes_terms$$);
SELECT name FROM rag.collections;
-- The columns that the collection is made of are enough, and each of them is needed.
SET ROLE regress_owner;
GRANT SELECT (id, tenant, title, body) ON app.notes TO regress_reader;
SET ROLE regress_reader;
SELECT name FROM rag.collections;
SELECT count(*) FROM rag.search('notes', 'harbour', mode => 'text', k => 100);
SET ROLE regress_owner;
REVOKE SELECT (body) ON app.notes FROM regress_reader;
SET ROLE regress_reader;
SELECT * FROM refusal($$SELECT * FROM rag.search('notes', 'harbour')$$);
SET ROLE regress_owner;
GRANT SELECT (body) ON app.notes TO regress_reader;
REVOKE SELECT (tenant) ON app.notes FROM regress_reader;
SET ROLE regress_reader;
SELECT * FROM refusal($$SELECT * FROM rag.search('notes', 'harbour')$$);
-- Row-level security: rows of others are not seen, and their places are filled.
SET ROLE regress_owner;
GRANT SELECT ON app.notes TO regress_reader;
ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app.notes FOR SELECT USING (tenant = current_user);
SET ROLE regress_reader;
SELECT mode, count(*), bool_and(metadata = '{"tenant": "regress_reader"}') AS own
FROM unnest('{hybrid,vector,text}'::text[]) mode, rag.search('notes', 'harbour of town 7', k => 8, mode => mode) GROUP BY mode ORDER BY mode;
SET ROLE regress_owner;
SELECT count(*) FROM rag.search('notes', 'harbour of town 7', k => 20, mode => 'text');
-- Only the source's owner makes, refreshes and drops.
SET ROLE regress_reader;
SELECT * FROM refusal($$SELECT rag.create_collection('mine', 'app.notes', 'body', sync => 'manual')$$);
SELECT * FROM refusal($$SELECT * FROM rag.refresh_collection('notes')$$);
SELECT * FROM refusal($$SELECT rag.drop_collection('notes')$$);
SELECT * FROM refusal($$DELETE FROM rag.collection$$);
SELECT * FROM refusal($$UPDATE rag.collection SET chunk_table = 'pg_authid'$$);
-- A check on the chunk table runs as its owner, also when a superuser refreshes, and cannot leave that role.
SET ROLE regress_owner;
CREATE TABLE app.log (who name);
CREATE FUNCTION app.exploit() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO app.log VALUES (current_user); RETURN true; END $$;
ALTER TABLE app.notes_chunks ADD CONSTRAINT exploit CHECK (app.exploit()) NOT VALID;
INSERT INTO app.notes VALUES (1000, 'regress_owner', 'New', 'a new note');
RESET ROLE;
SELECT * FROM rag.refresh_collection('notes');
SELECT who FROM app.log;
CREATE OR REPLACE FUNCTION app.exploit() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'RESET ROLE'; EXECUTE 'ALTER ROLE regress_owner SUPERUSER'; RETURN true; END $$;
INSERT INTO app.notes VALUES (1001, 'regress_owner', 'Newer', 'a newer note');
SELECT code FROM refusal($$SELECT * FROM rag.refresh_collection('notes')$$);
CREATE OR REPLACE FUNCTION app.exploit() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ALTER ROLE regress_owner SUPERUSER'; RETURN true; END $$;
SELECT code FROM refusal($$SELECT * FROM rag.refresh_collection('notes')$$);
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_owner';
-- A collection waits for the new owner of its source, and what is attached to the chunk table does not come along.
CREATE ROLE regress_heir;
GRANT ALL ON SCHEMA app TO regress_heir;
ALTER TABLE app.notes OWNER TO regress_heir;
SELECT * FROM refusal($$SELECT * FROM rag.refresh_collection('notes')$$);
ALTER TABLE app.notes_chunks DROP CONSTRAINT exploit;
SELECT * FROM rag.refresh_collection('notes');
SELECT relname, relowner::regrole FROM pg_class WHERE relname IN ('notes_chunks', 'notes_terms', 'notes_chunks_chunk_id_seq') ORDER BY relname;
ALTER TABLE app.notes OWNER TO regress_owner;
SELECT changed FROM rag.refresh_collection('notes');
-- Functions and operators on the caller's search path are not called in place of our own.
SET ROLE regress_owner;
CREATE FUNCTION app.gain() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ALTER ROLE regress_owner SUPERUSER'; RETURN true; END $$;
CREATE FUNCTION app.equals(int, int) RETURNS bool LANGUAGE sql AS 'SELECT app.gain()';
CREATE FUNCTION app.contains(jsonb, jsonb) RETURNS bool LANGUAGE sql AS 'SELECT app.gain()';
CREATE OPERATOR app.= (FUNCTION = app.equals, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR app.@> (FUNCTION = app.contains, LEFTARG = jsonb, RIGHTARG = jsonb);
CREATE FUNCTION app.unnest(int[]) RETURNS SETOF int LANGUAGE sql AS 'SELECT 1 WHERE app.gain()';
CREATE FUNCTION app.to_tsvector(regconfig, text) RETURNS tsvector LANGUAGE sql AS $$SELECT ''::tsvector WHERE app.gain()$$;
CREATE FUNCTION app.jsonb_build_object(text, int) RETURNS jsonb LANGUAGE sql AS $$SELECT '{}'::jsonb WHERE app.gain()$$;
CREATE FUNCTION app.pg_has_role(oid, text) RETURNS bool LANGUAGE sql AS 'SELECT app.gain()';
CREATE FUNCTION app.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint WHERE app.gain()';
RESET ROLE;
SET search_path = app, pg_catalog, public;
SELECT count(*) > 0 AS found FROM rag.search('notes', 'harbour', filter => '{"tenant": "regress_owner"}');
SELECT changed FROM rag.refresh_collection('notes');
RESET search_path;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_owner';
-- Internal functions are not granted to PUBLIC, except the scoring function, which runs as the owner of a chunk table.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE pronamespace = 'rag'::regnamespace AND proname LIKE '\_%' AND has_function_privilege('regress_reader', p.oid, 'EXECUTE')
ORDER BY p.oid::regprocedure::text COLLATE "C";
-- The error for an owner who may not create tables in the schema of the source.
RESET ROLE;
CREATE TABLE public.guest (id int PRIMARY KEY, body text);
ALTER TABLE public.guest OWNER TO regress_reader;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
SELECT * FROM refusal($$SELECT rag.create_collection('guest', 'guest', 'body', sync => 'manual')$$);
SELECT rag.drop_collection('notes');
SET client_min_messages = warning;
DROP SCHEMA app CASCADE;
DROP TABLE guest;
RESET client_min_messages;
DROP OWNED BY regress_owner, regress_reader, regress_heir;
DROP ROLE regress_owner, regress_reader, regress_heir;
