-- Agents without a provider: what they are, and what is refused.
CREATE TABLE orders (id int PRIMARY KEY, status text);
CREATE FUNCTION order_status(id int) RETURNS text STABLE LANGUAGE sql
  AS 'SELECT o.status FROM orders o WHERE o.id = order_status.id';
COMMENT ON FUNCTION order_status IS 'where an order is';
SELECT rag.create_tool('order_status(int)');

-- An agent is made, changed and forgotten.
SELECT rag.create_agent('support', 'You help customers.', tools => ARRAY['order_status']);
SELECT name, owner = current_user AS own, instructions, model, tools, max_steps, token_budget, timeout_ms, output_schema
FROM rag.agents;
SELECT rag.create_agent('support', 'You help.');
SELECT rag.create_agent('support', 'You help.', 'local/none', max_steps => 3, token_budget => 1000, timeout_ms => 10000,
  output_schema => '{"type": "object"}', temperature => 0, replace => true);
SELECT name, instructions, model, tools, max_steps, token_budget, timeout_ms, output_schema, temperature FROM rag.agents;

-- What makes no sense is refused.
SELECT rag.create_agent(NULL, 'x');
SELECT rag.create_agent('a', NULL);
SELECT rag.create_agent('a', ' ');
SELECT rag.create_agent('a', 'x', max_steps => 0);
SELECT rag.create_agent('a', 'x', token_budget => 0);
SELECT rag.create_agent('a', 'x', timeout_ms => 0);
SELECT rag.create_agent('a', 'x', temperature => -1);
SELECT rag.create_agent('a', 'x', tools => ARRAY['order_status', 'nothing']);
SELECT rag.create_agent('a', 'x', tools => ARRAY['order_status', 'order_status']);
SELECT rag.create_agent('a', 'x', output_schema => '[1]');
SELECT rag.create_agent('a', 'x', output_schema => '{"type": "nonsense"}');

-- Nothing is run without a model that can.
SELECT rag.create_agent('quoter', 'You quote.', 'local/extractive', tools => ARRAY['order_status']);
SELECT * FROM rag.run_agent('quoter', 'Where is order 1?');
SELECT * FROM rag.run_agent('support', 'Where is order 1?');
SELECT * FROM rag.run_agent('nobody', 'Where is order 1?');
SELECT * FROM rag.run_agent('quoter', ' ');
SELECT * FROM rag.run_agent(NULL, 'x');
SELECT * FROM rag.run_agent('quoter', NULL);
SELECT count(*) FROM rag.runs WHERE agent IN ('quoter', 'support');

-- A tool that has gone.
SELECT rag.drop_tool('order_status');
SELECT * FROM rag.run_agent('quoter', 'Where is order 1?');

-- As a job it fails in the same way, and a job with wrong arguments is refused.
SELECT rag.submit('agent', '{"agent": "quoter"}');
SELECT rag.submit('agent', '{"agent": "quoter", "input": "x", "run": 1}');
SELECT rag.submit('agent', '{"run": 1}');
SELECT rag.submit('agent', '{"agent": "nobody", "input": "x"}') AS job \gset
CALL rag.wait_for_job(:job, '60s');
SELECT status, sqlstate, message FROM rag.jobs WHERE id = :job;

-- There is nothing to decide and nothing to go on with.
SELECT rag.approve(0);
SELECT rag.approve(NULL);
SELECT rag.reject(0, 'no');
SELECT rag.reject(0, NULL);
SELECT rag.resume_run(0);
SELECT rag.resume_run(NULL);
SELECT * FROM rag.approvals;

-- No role writes the tables or changes agents of another role.
CREATE ROLE regress_agent;
SET ROLE regress_agent;
INSERT INTO rag._agent (name, owner, instructions, tools, max_steps) VALUES ('a', 'regress_agent', 'x', '{}', 1);
UPDATE rag.agents SET instructions = 'x';
SELECT * FROM rag._agent_run;
SELECT rag.create_agent('support', 'x', replace => true);
SELECT rag.drop_agent('support');
SELECT name FROM rag.agents ORDER BY name;
RESET ROLE;
DROP ROLE regress_agent;
SELECT rag.drop_agent('support');
SELECT rag.drop_agent('quoter');
SELECT rag.drop_agent('quoter');
DROP FUNCTION order_status;
DROP TABLE orders;
