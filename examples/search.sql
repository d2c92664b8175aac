-- A few searches of the collection manual: a question, a question about one page, exact words, and joins.
\pset format wrapped
\pset columns 110

\echo
\echo How do I take a base backup?
SELECT rank, round(score::numeric, 3) AS score, title, heading, left(content, 200) AS content
  FROM rag.search('manual', 'how do I take a base backup?', k => 3);

\echo Why is my query not using the index? (one passage of each page)
SELECT rank, title, metadata->>'url' AS url, left(content, 200) AS content
  FROM rag.search('manual', 'why is my query not using the index?', k => 3, per_source => true);

\echo What cleans up dead rows? (only the pages about configuration)
SELECT rank, title, heading, left(content, 200) AS content
  FROM rag.search('manual', 'what cleans up dead rows?', k => 3, filter => '{"url": "runtime-config-autovacuum.html"}');

\echo The words of an error message, found by text alone
SELECT rank, title, text_rank, left(content, 200) AS content
  FROM rag.search('manual', 'could not serialize access due to concurrent update', k => 3, mode => 'text');

\echo The passage joined to its page
SELECT result.rank, page.title, length(page.body) AS page_length, result.heading
  FROM rag.search('manual', 'copy a table from a CSV file', k => 3) AS result
  JOIN pages AS page ON page.id = (result.source_key->>'id')::int
 ORDER BY result.rank;
