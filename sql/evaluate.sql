-- Evaluations: searches measured on questions whose relevant rows are known.

-- The tables are read through views, as conversations are.
CREATE TABLE rag._evaluation (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner name NOT NULL,
  collection text NOT NULL,
  questions_table text NOT NULL,
  k integer NOT NULL,
  settings jsonb NOT NULL,
  started_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

CREATE INDEX _evaluation_owner ON rag._evaluation (owner, id);

CREATE TABLE rag._evaluation_variant (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  evaluation bigint NOT NULL REFERENCES rag._evaluation ON DELETE CASCADE,
  place integer NOT NULL,
  variant text NOT NULL,
  options jsonb NOT NULL,
  questions integer NOT NULL,
  ndcg double precision,
  recall double precision,
  mrr double precision,
  map double precision,
  hit_rate double precision,
  no_answer_rate double precision NOT NULL,
  p50_ms double precision NOT NULL,
  p95_ms double precision NOT NULL,
  ci_low double precision,
  ci_high double precision,
  UNIQUE (evaluation, place)
);

CREATE TABLE rag._evaluation_detail (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  variant bigint NOT NULL REFERENCES rag._evaluation_variant ON DELETE CASCADE,
  question text NOT NULL,
  relevant jsonb NOT NULL,
  found integer NOT NULL,
  ndcg double precision,
  recall double precision,
  reciprocal_rank double precision,
  average_precision double precision,
  ms double precision NOT NULL
);

CREATE INDEX _evaluation_detail_variant ON rag._evaluation_detail (variant);

SELECT pg_catalog.pg_extension_config_dump('rag._evaluation', '');
SELECT pg_catalog.pg_extension_config_dump('rag._evaluation_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('rag._evaluation_variant', '');
SELECT pg_catalog.pg_extension_config_dump('rag._evaluation_variant_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('rag._evaluation_detail', '');
SELECT pg_catalog.pg_extension_config_dump('rag._evaluation_detail_id_seq', '');

-- A security barrier, so that functions in a reader's query do not see other roles' rows.
CREATE VIEW rag.evaluations WITH (security_barrier) AS
SELECT e.id, e.owner, e.collection, e.questions_table, e.k, v.variant, v.options, v.questions, v.ndcg, v.recall, v.mrr,
       v.map, v.hit_rate, v.no_answer_rate, v.p50_ms, v.p95_ms, v.ci_low, v.ci_high, e.settings, e.started_at,
       e.finished_at
FROM rag._evaluation e
JOIN rag._evaluation_variant v ON v.evaluation = e.id
WHERE e.owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

CREATE VIEW rag.evaluation_detail WITH (security_barrier) AS
SELECT e.id AS evaluation, v.variant, d.question, d.relevant, d.found, d.ndcg, d.recall, d.reciprocal_rank,
       d.average_precision, d.ms
FROM rag._evaluation_detail d
JOIN rag._evaluation_variant v ON v.id = d.variant
JOIN rag._evaluation e ON e.id = v.evaluation
WHERE e.owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

GRANT SELECT ON rag.evaluations, rag.evaluation_detail TO PUBLIC;

COMMENT ON TABLE rag._evaluation IS 'internal: evaluations; see rag.evaluations';
COMMENT ON SEQUENCE rag._evaluation_id_seq IS 'internal: ids of evaluations';
COMMENT ON INDEX rag._evaluation_owner IS 'internal: the evaluations of a role';
COMMENT ON TABLE rag._evaluation_variant IS 'internal: variants of evaluations; see rag.evaluations';
COMMENT ON SEQUENCE rag._evaluation_variant_id_seq IS 'internal: ids of variants';
COMMENT ON TABLE rag._evaluation_detail IS 'internal: searches of evaluations; see rag.evaluation_detail';
COMMENT ON SEQUENCE rag._evaluation_detail_id_seq IS 'internal: ids of searches of evaluations';
COMMENT ON INDEX rag._evaluation_detail_variant IS 'internal: the searches of a variant';

COMMENT ON VIEW rag.evaluations IS
'results of rag.evaluate by the current role, one row for each variant; members of rag_auditor and superusers see all';
COMMENT ON COLUMN rag.evaluations.questions_table IS 'table of questions';
COMMENT ON COLUMN rag.evaluations.k IS 'number of hits of each search that count';
COMMENT ON COLUMN rag.evaluations.options IS 'options of rag.search that differ from the defaults';
COMMENT ON COLUMN rag.evaluations.no_answer_rate IS 'share of the questions for which nothing was found';
COMMENT ON COLUMN rag.evaluations.ci_low IS
'with ci_high: 95 % confidence interval of the difference of ndcg from that of the first variant; NULL for the first one';
COMMENT ON COLUMN rag.evaluations.settings IS 'model and chunking of the collection';
COMMENT ON VIEW rag.evaluation_detail IS 'each search of the evaluations in rag.evaluations';
COMMENT ON COLUMN rag.evaluation_detail.relevant IS 'relevant rows: key, grade, and rank, or null if the row is not among the first k';
COMMENT ON COLUMN rag.evaluation_detail.found IS 'number of rows that were found';
COMMENT ON COLUMN rag.evaluation_detail.ms IS 'time of the search in milliseconds';

COMMENT ON FUNCTION rag.evaluate(text, regclass, integer, jsonb) IS
'measure the search of a collection on a table of questions and keys of relevant rows, for the defaults of rag.search and for variants of its options';
COMMENT ON FUNCTION rag.delete_evaluation(bigint) IS 'delete a result of rag.evaluate of the current role';

ALTER FUNCTION rag.evaluate(text, regclass, integer, jsonb) ROWS 3;
