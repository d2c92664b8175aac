-- Everything that the other files need.
SET client_min_messages = warning;
CREATE EXTENSION ragstone CASCADE;
RESET client_min_messages;
SELECT extname, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname IN ('ragstone', 'vector') ORDER BY extname;
-- Every object of the schema has a comment.
SELECT p.oid::regprocedure FROM pg_proc p
WHERE pronamespace = 'rag'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1;
SELECT c.oid::regclass FROM pg_class c
WHERE relnamespace = 'rag'::regnamespace AND relkind IN ('r', 'v', 'S') AND obj_description(c.oid, 'pg_class') IS NULL ORDER BY 1;
-- Nothing of ours is preloaded.
SHOW shared_preload_libraries;
-- What a statement is refused with; the detail may name a path of this machine and is left out.
CREATE FUNCTION refusal(statement text, OUT code text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  message := 'not refused';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END
$$;
-- A schema of that name that belongs to another role is not trusted.
CREATE DATABASE other_schema;
\c other_schema
SET client_min_messages = warning;
-- Major versions tell the place in the script differently.
\set SHOW_CONTEXT never
CREATE ROLE "Somebody else";
CREATE SCHEMA rag AUTHORIZATION "Somebody else";
CREATE EXTENSION ragstone CASCADE;
DROP SCHEMA rag;
DROP ROLE "Somebody else";
-- Nor is a wrapper or a server of ours.
CREATE FOREIGN DATA WRAPPER rag;
CREATE EXTENSION ragstone CASCADE;
ALTER FOREIGN DATA WRAPPER rag RENAME TO other;
CREATE SERVER local FOREIGN DATA WRAPPER other;
CREATE EXTENSION ragstone CASCADE;
\c regression
DROP DATABASE other_schema;
