-- Preconditions of CREATE EXTENSION.

DO $$
DECLARE
  vector_version text := (SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'vector');
  schema_owner name := (SELECT pg_catalog.pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE nspname = 'rag');
BEGIN
  IF pg_catalog.string_to_array(pg_catalog.regexp_replace(vector_version, '[^0-9.].*$', ''), '.')::pg_catalog.int4[]
     OPERATOR(pg_catalog.<) ARRAY[0, 8] THEN
    RAISE EXCEPTION 'ragstone needs pgvector 0.8 or newer, not %', vector_version
      USING ERRCODE = 'feature_not_supported',
            HINT = 'Install a newer pgvector and run ALTER EXTENSION vector UPDATE.';
  END IF;
  -- The owner of the schema could add functions to it.
  IF schema_owner <> current_user THEN
    RAISE EXCEPTION 'schema "rag" exists and belongs to %', schema_owner
      USING ERRCODE = 'duplicate_schema',
            HINT = 'Rename or drop it: ragstone needs a schema "rag" of its own.';
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_foreign_data_wrapper WHERE fdwname = 'rag') THEN
    RAISE EXCEPTION 'foreign-data wrapper "rag" exists already'
      USING ERRCODE = 'duplicate_object',
            HINT = 'Rename or drop it: ALTER FOREIGN DATA WRAPPER rag RENAME TO …;';
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_foreign_server WHERE srvname = 'local') THEN
    RAISE EXCEPTION 'server "local" exists already'
      USING ERRCODE = 'duplicate_object',
            HINT = 'Rename or drop it: ALTER SERVER local RENAME TO …;';
  END IF;
END
$$;
