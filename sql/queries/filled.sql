-- Whether the tables of a collection are filled and have the indexes that find rows and words.
SELECT s.relispopulated
   AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.chunk_table AND i.indisprimary)
   AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.terms_table)
FROM rag.collection c
JOIN pg_class s ON s.oid = c.source
WHERE c.id = $1
