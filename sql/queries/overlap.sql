-- Mean share of common rows among the first 10 that two collections of one source return for some queries.
SELECT avg(common::float8 / greatest(wanted, 1))
FROM unnest($1) query
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE b.source_key IS NOT NULL) AS common, count(*) AS wanted
  FROM rag.search($2, query, k => 10, per_source => true) a
  LEFT JOIN (SELECT source_key FROM rag.search($3, query, k => 10, per_source => true)) b USING (source_key)
) one
