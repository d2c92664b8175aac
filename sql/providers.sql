-- Providers of models are foreign servers of the wrapper rag; their keys are user mappings; USAGE is the right to use one.

CREATE FOREIGN DATA WRAPPER rag NO HANDLER VALIDATOR rag._validate_options;

COMMENT ON FOREIGN DATA WRAPPER rag IS
'providers of models; a role with USAGE on it may choose the address to which prompts are sent';

CREATE SERVER local FOREIGN DATA WRAPPER rag;
GRANT USAGE ON FOREIGN SERVER local TO PUBLIC;

COMMENT ON SERVER local IS 'models installed on this host; takes no options';

CREATE EVENT TRIGGER ragstone_keep_local ON ddl_command_end
  WHEN TAG IN ('ALTER SERVER', 'CREATE USER MAPPING', 'ALTER USER MAPPING')
  EXECUTE FUNCTION rag._keep_local();

COMMENT ON EVENT TRIGGER ragstone_keep_local IS 'keeps the server local without options and user mappings';

CREATE VIEW rag.providers AS
SELECT s.srvname AS name,
       pg_catalog.pg_get_userbyid(s.srvowner) AS owner,
       (SELECT option_value FROM pg_catalog.pg_options_to_table(s.srvoptions) WHERE option_name = 'protocol') AS protocol,
       (SELECT option_value FROM pg_catalog.pg_options_to_table(s.srvoptions) WHERE option_name = 'base_url') AS base_url,
       (SELECT option_value FROM pg_catalog.pg_options_to_table(s.srvoptions)
        WHERE option_name = 'default_model') AS default_model,
       pg_catalog.has_server_privilege(s.oid, 'USAGE') AS usable,
       EXISTS (SELECT FROM pg_catalog.pg_user_mappings m WHERE m.srvid = s.oid AND m.usename = 'public') AS has_key,
       EXISTS (SELECT FROM pg_catalog.pg_user_mappings m WHERE m.srvid = s.oid AND m.usename = current_user) AS has_own_key
FROM pg_catalog.pg_foreign_server s
JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE w.fdwname = 'rag';

GRANT SELECT ON rag.providers TO PUBLIC;

COMMENT ON VIEW rag.providers IS 'foreign servers of the wrapper rag';
COMMENT ON COLUMN rag.providers.usable IS 'whether the current role has USAGE';
COMMENT ON COLUMN rag.providers.has_key IS 'whether there is a key FOR PUBLIC';
COMMENT ON COLUMN rag.providers.has_own_key IS 'whether the current role has a key of its own';
COMMENT ON FUNCTION rag._validate_options(text[], oid) IS 'internal: checks the options of servers and user mappings of the wrapper rag';
COMMENT ON FUNCTION rag._keep_local() IS 'internal: event trigger that refuses options and user mappings of the server local';
COMMENT ON FUNCTION rag.create_provider(text, text, text, text, text, jsonb) IS
'create a provider: a foreign server made from a template, and a user mapping for its key';

-- PostgreSQL calls them itself, without checking EXECUTE.
REVOKE EXECUTE ON FUNCTION rag._validate_options(text[], oid), rag._keep_local() FROM PUBLIC;
