-- Answers from the collection manual, in its own words, with the passages that they are from.
\echo
\echo Asked: how do I take a base backup?
\echo
SELECT answer, citations FROM rag.ask('manual', 'how do I take a base backup?') \gset
\echo :answer
\echo
SELECT c->>'number' AS n, c->>'title' AS title, c->'metadata'->>'url' AS url, left(c->>'quote', 60) AS quote
  FROM jsonb_array_elements(:'citations') AS c;

\echo Asked: how do I bake bread? (which the manual does not say)
\echo
SELECT answer, answered, round(similarity::numeric, 2) AS similarity FROM rag.ask('manual', 'how do I bake bread?');
