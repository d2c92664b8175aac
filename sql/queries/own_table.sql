-- Whether a table was made for the collection: it is marked, or has the columns. Marks may be left out of a dump, columns be altered.
SELECT relkind = 'r'
       AND (coalesce(obj_description(oid, 'pg_class') LIKE 'internal: part of the collection %, kept by ragstone', false)
            OR NOT EXISTS (SELECT FROM rag._altered_tables WHERE collection = $2 AND sqlstate = '42804'))
FROM pg_class
WHERE oid = $1
