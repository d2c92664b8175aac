-- Text to columns: answers that meet a JSON Schema.
--   psql -v url=http://127.0.0.1:8080/v1 -v key=… -f examples/psql/structured.sql
\ir providers.sql

SELECT '{"type": "object", "additionalProperties": false, "required": ["name", "age", "city"],
         "properties": {"name": {"type": "string", "maxLength": 20},
                        "age": {"type": "integer", "minimum": 0, "maximum": 120},
                        "city": {"type": "string", "maxLength": 20}}}' AS schema \gset

-- The reply is checked against the schema, and where it does not meet it the model is asked once to mend it.
SELECT rag.generate_json('Ann is 31 years old and lives in Oslo.', :'schema', model => :'model', temperature => 0, max_tokens => 60)
       AS person;

-- A row of text gives a row of columns.
CREATE TEMP TABLE letters (id int PRIMARY KEY, body text NOT NULL);
INSERT INTO letters VALUES (1, 'My name is Ben, I am 54 and I live in Lima.'), (2, 'Eva, aged 23, writes to us from Rome.');

SELECT letters.id, person.name, person.age, person.city
  FROM letters,
       rag.generate_json(letters.body, :'schema', model => :'model', temperature => 0, max_tokens => 60) AS found,
       jsonb_to_record(found) AS person (name text, age int, city text)
 ORDER BY letters.id;
