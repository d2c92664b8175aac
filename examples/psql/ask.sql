-- Questions to a collection, answered with citations.
--   psql -f examples/psql/ask.sql                     quotes the collection; needs no provider
--   psql -v url=… -v key=… -f examples/psql/ask.sql   has a provider's model answer from what was found
\ir providers.sql
\ir library.sql

SELECT answer, model FROM rag.ask('library', 'How many books may I borrow?', model => :'model', k => 2, max_tokens => 32);

-- Each number in the answer is a passage, with its row and its words.
SELECT citation->>'number' AS number, citation->>'title' AS title, citation->'source_key' AS source_key, citation->>'quote' AS quote
  FROM rag.ask('library', 'What does a late book cost?', k => 2) AS asked, jsonb_array_elements(asked.citations) AS citation;

-- A question outside the collection gets no invented answer, and no provider is called.
SELECT answered, answer FROM rag.ask('library', 'What is the capital of Norway?', model => :'model');
