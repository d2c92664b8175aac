-- A few searches of the collection manual: questions, one passage of each page, a filter, exact words, a join.
\set passage 'left(regexp_replace(content, ''[[:space:]]+'', '' '', ''g''), 70) AS passage'

\echo
\echo How do I take a base backup?
SELECT rank, round(score::numeric, 3) AS score, left(title, 40) AS title, :passage
  FROM rag.search('manual', 'how do I take a base backup?', k => 3);

\echo Why is my query not using the index? (one passage of each page)
SELECT rank, title, metadata->>'url' AS url, :passage
  FROM rag.search('manual', 'why is my query not using the index?', k => 3, per_source => true);

\echo What cleans up dead rows? (only in the chapter about autovacuum settings)
SELECT rank, heading, :passage
  FROM rag.search('manual', 'what cleans up dead rows?', k => 3, filter => '{"url": "runtime-config-autovacuum.html"}');

\echo could not serialize access due to concurrent update (by the words alone)
SELECT rank, title, text_rank, :passage
  FROM rag.search('manual', 'could not serialize access due to concurrent update', k => 3, mode => 'text');

\echo Copy a table from a CSV file (joined to the pages)
SELECT result.rank, page.title, length(page.body) AS page_length, result.heading
  FROM rag.search('manual', 'copy a table from a CSV file', k => 3) AS result
  JOIN pages AS page ON page.id = (result.source_key->>'id')::int
 ORDER BY result.rank;
