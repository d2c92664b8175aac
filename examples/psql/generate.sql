-- Prompts and answers.
--   psql -v url=http://127.0.0.1:8080/v1 -v key=… -f examples/psql/generate.sql
\ir providers.sql

-- A prompt, an answer. Where the provider takes a seed, the same seed gives the same answer.
SELECT rag.generate('Write one sentence about libraries.', model => :'model', max_tokens => 24, seed => 1) AS answer;

-- A conversation
SELECT rag.generate('[{"role": "system", "content": "You are a librarian who answers in five words."},
                      {"role": "user", "content": "My name is Ann."},
                      {"role": "assistant", "content": "Welcome to the library, Ann."},
                      {"role": "user", "content": "What is my name?"}]'::jsonb,
                    model => :'model', max_tokens => 16, temperature => 0) AS conversation;

-- The answer with all that is known of it
SELECT content, finish_reason, input_tokens, output_tokens, round(latency_ms) AS ms
  FROM rag.complete('Count to three.', model => :'model', temperature => 0, max_tokens => 12);

-- Many prompts: several are asked at once within the statement.
SELECT number, answer
  FROM unnest(rag.generate(ARRAY['A word for big:', 'A word for small:', 'A word for old:'], model => :'model', max_tokens => 6))
       WITH ORDINALITY AS many (answer, number);

-- NULL where rag.generate would raise an error: here the model has a millisecond.
SELECT rag.generate('Write a novel.', model => :'model', timeout_ms => 1, on_error => 'null') IS NULL AS nothing;

-- What the calls took. A background worker writes the rows, so that they stay after a ROLLBACK too.
SELECT function, model, calls, output_tokens
  FROM (SELECT function, model, count(*) AS calls, sum(output_tokens) AS output_tokens
          FROM rag.calls WHERE server = 'example' GROUP BY function, model) AS sums
 ORDER BY function;
