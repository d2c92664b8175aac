-- A support agent over the PostgreSQL manual that make demo has made searchable: three tools, an agent, a run, its trace,
-- and a run as a job that asks before it writes.
--   psql -v url=http://127.0.0.1:8080/v1 -f examples/agents/support.sql
-- The url is that of any server with OpenAI's interface; examples/agents/scripted_model.py is one that needs no model.
\if :{?url} \else
  \echo This needs a provider: psql -v url=… [-v key=…] [-v name=…] -f examples/agents/support.sql
  \quit
\endif
\ir ../psql/providers.sql

-- A tool is a function. What a model is to know about it is its COMMENT; what it may do is what its caller may do.
CREATE TABLE IF NOT EXISTS support_tickets (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL,
    body text NOT NULL,
    opened_by name NOT NULL DEFAULT current_user
);

CREATE OR REPLACE FUNCTION setting(name text) RETURNS text LANGUAGE sql STABLE
RETURN (SELECT format('%s = %s%s (%s)', s.name, s.setting, s.unit, s.short_desc) FROM pg_settings s WHERE s.name = setting.name);
COMMENT ON FUNCTION setting IS 'The value that a setting of this PostgreSQL server has now, by its name.';

CREATE OR REPLACE FUNCTION open_ticket(title text, body text) RETURNS int LANGUAGE sql
BEGIN ATOMIC
  INSERT INTO support_tickets (title, body) VALUES (title, body) RETURNING id;
END;
COMMENT ON FUNCTION open_ticket IS 'Opens a ticket for the people of the support team, for what the manual does not answer; gives its number.';

SELECT rag.create_search_tool('manual', name => 'search_manual', k => 3, replace => true,
                              description => 'Finds passages of the PostgreSQL manual about a question.'),
       rag.create_tool('setting(text)', replace => true),
       -- It writes, so it must be declared as writing, and each call needs approval.
       rag.create_tool('open_ticket(text, text)', writes => true, requires_approval => true, replace => true) \g /dev/null

-- Of two agents one may only read.
SELECT rag.create_agent('librarian', 'You help users of PostgreSQL. Look into the manual before you answer, and say where it is.',
                        model => :'model', tools => '{search_manual, setting}', max_steps => 6, token_budget => 20000, replace => true),
       rag.create_agent('support', 'You help users of PostgreSQL. Look into the manual first. Open a ticket if the user asks for one.',
                        model => :'model', tools => '{search_manual, setting, open_ticket}', max_steps => 6, token_budget => 20000,
                        replace => true) \g /dev/null

\echo
\echo A run, and what it did
SELECT run_id, status, answer FROM rag.run_agent('librarian', 'How do I take a base backup, and what is wal_level?') \gset
\echo :status
\echo :answer
\pset tuples_only on
SELECT rag.trace(:run_id);
\pset tuples_only off

\echo A run as a job: no transaction is open while the model thinks, and it waits for approval before it writes
SELECT rag.submit('agent', '{"agent": "support", "input": "I cannot connect. Please open a ticket for max_connections."}') AS job \gset
CALL rag.wait_for_job(:job, timeout => '5 min');
SELECT rag.job_result(:job)->>'status' AS status, rag.job_result(:job)->>'run_id' AS run_id \gset
SELECT count(*) > 0 AS waits FROM rag.steps WHERE run_id = :run_id AND status = 'waiting' \gset
\echo :status
\if :waits
  -- The exact call that it wants to make
  SELECT id AS step, name, input FROM rag.steps WHERE run_id = :run_id AND status = 'waiting';
  SELECT rag.approve(id) AS job FROM rag.steps WHERE run_id = :run_id AND status = 'waiting' \gset
  CALL rag.wait_for_job(:job, timeout => '5 min');
  SELECT rag.job_result(:job)->>'status' AS status, rag.job_result(:job)->>'answer' AS answer;
  SELECT title, opened_by FROM support_tickets ORDER BY id DESC LIMIT 1;
\endif

\echo What the agents have done
SELECT agent, status, steps, tool_calls, errors, input_tokens + output_tokens AS tokens FROM rag.run_summary ORDER BY id DESC LIMIT 2;
SELECT kind, name, status, count(*) FROM rag.steps WHERE run_id = :run_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
