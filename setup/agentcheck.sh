#!/usr/bin/env bash
# Runs examples/agents in a copy of the demo's database, with the scripted model, with a real one (llm.sh) and with
# LangGraph, and checks the output. The demo must have been run, or the demo of democheck.sh, which
# RAGSTONE_DEMO=democheck selects; its server is left running or stopped, as it was before.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$(mktemp --directory)
was_running=$([[ -e $root/.ragstone/env ]] && echo yes || echo no)
model_pid=""
clean_up() {
  [[ -z $model_pid ]] || kill "$model_pid"
  "$here/llm.sh" stop "$folder/llm"
  PGDATABASE=postgres value 'DROP DATABASE IF EXISTS demo_agents WITH (FORCE)' || true
  [[ $was_running == yes ]] || "$here/cluster.sh" stop "$root/.ragstone"
  rm -rf "$folder"
}
[[ -e $root/.ragstone/cluster ]] || die "there is no demo" "make demo"
exports=$("$here/cluster.sh" start "$root/.ragstone")
eval "$exports"
. "$here/checks.sh"
trap clean_up EXIT
export PGOPTIONS=--client-min-messages=warning
PGDATABASE=postgres value 'DROP DATABASE IF EXISTS demo_agents WITH (FORCE)'
PGDATABASE=postgres value "CREATE DATABASE demo_agents TEMPLATE ${RAGSTONE_DEMO:-demo}"
export PGDATABASE=demo_agents

"$("$here/python.sh")" "$root/examples/agents/scripted_model.py" >"$folder/scripted" &
model_pid=$!
until [[ -s $folder/scripted ]]; do
  kill -0 "$model_pid" || die "the scripted model does not start"
  sleep 0.1
done
exports=$("$here/llm.sh" start "$folder/llm")
eval "$exports"

scripted() {
  file examples/agents/support.sql --set=url="$(cat "$folder/scripted")"
  check "the agent looks it up and answers" shows '(?s)\ndone\nSee “[^”]+” in the manual\. The setting is .*wal_level = '
  check "the trace has the tools under the model's steps" shows '(?s)search_manual.*setting'
  check "the job waits before it writes" shows '\nwaiting\n.*\nopen_ticket|\nwaiting\n(?s).*open_ticket\|'
  check "it continues after the approval" shows '(?s)done\|See “[^”]+” in the manual\..*Ticket: '
  check "the ticket is there" test "$(value 'SELECT count(*) FROM support_tickets')" = 1
  check "each completed call was made once" shows '\ntool\|open_ticket\|ok\|1\n'
  check "runs are summed up" shows '\nsupport\|done\|'
}

# A model of this size follows no instructions: the check is that its run ends without an error and is
# recorded.
real() {
  file examples/agents/support.sql --set=url="$RAGSTONE_LLM_URL" --set=key="$RAGSTONE_LLM_KEY"
  check "the runs have ended or wait" test \
    "$(value "SELECT bool_and(status IN ('done', 'failed', 'waiting')) FROM (SELECT status FROM rag.runs ORDER BY id DESC LIMIT 2) r")" = t
  check "the model's tokens are counted" test "$(value "SELECT min(input_tokens) > 100 FROM rag.steps WHERE kind = 'model' AND model LIKE '%smollm2' AND status = 'ok'")" = t
}

langgraph() {
  local python graph
  python=$("$here/venv.sh" agents-python "$root/examples/agents/requirements.txt")
  graph=("$python" "$root/examples/agents/support_graph.py" desk)
  printf '\n--- examples/agents/support_graph.py\n'
  check "the graph answers" kept "${graph[@]}" 'How do I take a base backup?'
  check "its answer cites the collection" shows 'pg_basebackup.*\[1\]'
  check "a question outside the collection goes to a person" kept "${graph[@]}" 'How do I bake bread?'
  check "the conversation was kept between the two processes" shows '(?s)A person will look into it\..*\(2 questions in this conversation'
  check "its nodes are steps" test "$(value "SELECT string_agg(s.name, ',' ORDER BY s.number) FROM rag.steps s JOIN rag.runs r ON r.id = s.run_id
     WHERE r.agent = 'support_graph' AND r.input->>'question' = 'How do I bake bread?' AND s.parent_id IS NULL AND s.name IN ('retrieve', 'answer', 'hand_over')")" = retrieve,answer,hand_over
  check "LangGraph's checkpoints are in the same database" test "$(value "SELECT count(*) > 0 FROM checkpoints WHERE thread_id = 'desk'")" = t
}

spans() {
  local python run
  python=$("$here/venv.sh" agents-python "$root/examples/agents/requirements.txt")
  run=$(value "SELECT run_id FROM rag.steps WHERE kind = 'tool' AND status = 'ok' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
  printf '\n--- examples/agents/read_spans.py\n'
  value "SELECT rag.otlp($run)" >"$folder/spans"
  check "OpenTelemetry's definitions accept a run's spans" kept "$python" "$root/examples/agents/read_spans.py" <"$folder/spans"
  check "the run and each step are spans" test "$(wc --lines <"$out")" = "$(value "SELECT count(*) + 1 FROM rag.steps WHERE run_id = $run")"
  check "calls of tools are named by OpenTelemetry's conventions" shows '(?m)^execute_tool \w+: execute_tool, '
}

scripted
real
langgraph
spans
verdict
