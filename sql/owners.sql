-- The owners of conversations, runs, agents and tools. Owners are stored by name, since the OID of a role is not valid after a restore.
-- But a name can come to mean another role: after DROP ROLE and CREATE ROLE, or ALTER ROLE RENAME.

-- One row, which differs in each server and database: no dump contains it, only pg_upgrade carries it over.
CREATE TABLE rag._server (
  server uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid()
);

-- A table without a key that a publication for all tables includes needs this for UPDATE and DELETE.
ALTER TABLE rag._server REPLICA IDENTITY FULL;

INSERT INTO rag._server DEFAULT VALUES;

-- A row is added when a role first creates something, and again under each new name. There is no unique index, so that no session waits
-- for another's transaction; duplicate rows do no harm.
CREATE TABLE rag._owner (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner name NOT NULL,
  role_name name NOT NULL,
  role oid NOT NULL,
  server uuid NOT NULL
);

CREATE INDEX ON rag._owner (role, server, id);
CREATE INDEX ON rag._owner (role_name, id);
CREATE INDEX ON rag._owner (owner, id);

SELECT pg_catalog.pg_extension_config_dump('rag._owner', '');
SELECT pg_catalog.pg_extension_config_dump('rag._owner_id_seq', '');

-- A role owns under its own name, unless that name was another role's before, here or on the server that a dump came from.
CREATE FUNCTION rag._owner_of(role oid, role_name name) RETURNS name LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  WITH named AS (
    SELECT o.id, o.owner, o.role_name, o.server = (SELECT server FROM rag._server) AS is_here
    FROM rag._owner o WHERE o.role_name = _owner_of.role_name OR o.owner = _owner_of.role_name)
  SELECT coalesce(
    (SELECT o.owner FROM rag._owner o
     WHERE o.role = _owner_of.role AND o.server = (SELECT server FROM rag._server)
     ORDER BY o.id DESC LIMIT 1),
    -- Restored rows belong to the role that has the last name of their owner.
    (SELECT n.owner FROM named n
     WHERE n.role_name = _owner_of.role_name
       AND NOT EXISTS (SELECT FROM named h WHERE h.is_here AND h.role_name = _owner_of.role_name)
       AND NOT EXISTS (SELECT FROM rag._owner later
                       WHERE later.owner = n.owner AND later.id > n.id AND later.role_name <> n.role_name)
     ORDER BY n.id DESC LIMIT 1),
    CASE WHEN EXISTS (SELECT FROM named) OR pg_catalog.starts_with(_owner_of.role_name::text, '#')
         THEN pg_catalog.format('#%s %s', _owner_of.role, _owner_of.role_name)::name
         ELSE _owner_of.role_name END);
END;

-- SECURITY DEFINER, because any role may call it and no role may read the tables.
CREATE FUNCTION rag._role_of(owner name) RETURNS oid LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
BEGIN ATOMIC
  SELECT coalesce(
    (SELECT CASE WHEN o.server = (SELECT server FROM rag._server)
                 THEN o.role
                 ELSE pg_catalog.to_regrole(pg_catalog.quote_ident(o.role_name)) END
     FROM rag._owner o WHERE o.owner = _role_of.owner
     ORDER BY o.id DESC LIMIT 1),
    pg_catalog.to_regrole(pg_catalog.quote_ident(_role_of.owner)));
END;

COMMENT ON TABLE rag._server IS 'internal: identifies the server that OIDs of roles and transaction numbers belong to';
COMMENT ON TABLE rag._owner IS 'internal: the names under which roles own what they create';
COMMENT ON COLUMN rag._owner.owner IS 'as in columns named owner: the role''s original name, or its OID and name if that name was another role''s before';
COMMENT ON COLUMN rag._owner.server IS 'server that the OID in role belongs to, as in rag._server';
COMMENT ON SEQUENCE rag._owner_id_seq IS 'internal: ids of rag._owner';
COMMENT ON INDEX rag._owner_role_server_id_idx IS 'internal: owners by role';
COMMENT ON INDEX rag._owner_role_name_id_idx IS 'internal: owners by role name';
COMMENT ON INDEX rag._owner_owner_id_idx IS 'internal: owners by owner';

REVOKE EXECUTE ON FUNCTION rag._owner_of(oid, name) FROM PUBLIC;

COMMENT ON FUNCTION rag._owner_of IS 'internal: name under which a role owns what it creates';
COMMENT ON FUNCTION rag._role_of IS 'internal: role that owns under a name, or NULL if it no longer exists';
COMMENT ON FUNCTION rag._current_owner IS 'internal: name under which the current role owns what it creates';
