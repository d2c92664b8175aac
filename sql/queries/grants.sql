-- Roles other than the owner that have privileges on a relation, such as default privileges; 0 is PUBLIC.
SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
FROM pg_class c
CROSS JOIN LATERAL aclexplode(c.relacl) a
WHERE c.oid = $1 AND a.grantee <> c.relowner
