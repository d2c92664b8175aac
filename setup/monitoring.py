"""Checks examples/monitoring/ against a server with Ragstone: as the role that monitor.sql creates, each query of
queries.yaml returns rows with the declared columns, numbers for all metrics, and labels that distinguish the rows; and
each alert uses existing metrics, and says what to do.

usage: monitoring.py psql
"""

import re
import subprocess
import sys
from pathlib import Path

import stand_in
import yaml

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "monitoring"
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]\d+)?")
VIEWS = "SELECT relname FROM pg_class WHERE relnamespace = 'rag'::regnamespace AND relname ~ '^stat_' AND relkind = 'v'"
# Data of every kind, so that no query returns nothing.
LIFE = r"""
CREATE EXTENSION ragstone CASCADE;
CREATE TABLE notes (id int PRIMARY KEY, body text);
INSERT INTO notes VALUES (1, 'A note.');
SELECT rag.create_collection('notes', 'notes', 'body');
SELECT rag.wait_until_current('notes');
SELECT rag.create_provider('example', kind => 'compatible', base_url => :'url' || '/v1', model => 'stand-in');
INSERT INTO rag.budgets (period, max_calls) VALUES ('day', 100);
SELECT rag.generate('Say hello.', model => 'example');
SELECT rag.submit('search', '{"collection": "notes", "query": "note"}') AS job \gset
CALL rag.wait_for_job(:job, '60s');
SELECT rag.start_run('clerk') AS run \gset
SET rag.log_durability = 'autonomous';
SELECT rag.log_step(:run, 'tool', 'hammer');
SELECT rag.finish_run(:run);
DO $$ BEGIN
  WHILE (SELECT count(*) = 0 FROM rag.calls) OR (SELECT count(*) = 0 FROM rag.agent_daily) LOOP
    COMMIT;
    PERFORM pg_sleep(0.1);
  END LOOP;
END $$;
"""


def psql(program, *arguments, text=None):
    command = [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "monitoring", *arguments]
    return subprocess.run(command, check=False, input=text, capture_output=True, text=True, timeout=120)


def rows(program, query):
    """Returns the names of columns, and the rows, that the exporter's role sees."""
    result = psql(program, "-U", "ragstone_monitor", "-A", "-F", "\t", "-P", "footer=off", "-c", query)
    if result.returncode:
        return None, result.stderr.strip()
    head, *lines = result.stdout.splitlines()
    return head.split("\t"), [dict(zip(head.split("\t"), line.split("\t"))) for line in lines]


def problems_of(name, query, program):
    # An unquoted comma in a description begins another key.
    for column, about in (pair for metric in query["metrics"] for pair in metric.items()):
        if about.keys() != {"usage", "description"}:
            yield f"{name}: {column} has the keys {list(about)}"
    kinds = {column: about["usage"] for metric in query["metrics"] for column, about in metric.items()}
    columns, found = rows(program, query["query"])
    if columns is None:
        yield f"{name}: {found}"
        return
    if columns != list(kinds):
        yield f"{name}: returns {columns}, but declares {list(kinds)}"
    if not found:
        yield f"{name}: returns no rows"
    labels = [tuple(row.get(column) for column, kind in kinds.items() if kind == "LABEL") for row in found]
    if len(set(labels)) < len(labels):
        yield f"{name}: its labels do not distinguish its rows"
    for column, kind in kinds.items():
        if kind != "LABEL" and any(not NUMBER.fullmatch(row.get(column, "")) for row in found):
            yield f"{name}: {column} is not a number in {found}"
        # This label is the exporter's own.
        if column == "server":
            yield f"{name}: {column} is reserved"


def problems_of_alert(rule, metrics):
    for metric in re.findall(r"\bragstone_\w+", rule["expr"]):
        if metric not in metrics:
            yield f"{rule['alert']}: there is no metric {metric}"
    texts, severity = rule.get("annotations", {}), rule.get("labels", {}).get("severity")
    if severity not in ("page", "ticket") or not texts.get("summary") or not texts.get("action"):
        yield f"{rule['alert']}: lacks severity, summary or action"


def main(program):
    problems = []
    for statement in ("DROP DATABASE IF EXISTS monitoring", "CREATE DATABASE monitoring"):
        subprocess.run([program, "-X", "-q", "-d", "postgres", "-c", statement], check=True, capture_output=True)
    for arguments, text in ((["-v", f"url={stand_in.start()}"], LIFE), (["-f", str(FOLDER / "monitor.sql")], None)):
        result = psql(program, *arguments, text=text)
        if result.returncode:
            problems.append(result.stderr.strip())
    queries = yaml.safe_load((FOLDER / "queries.yaml").read_text())
    for name, query in queries.items():
        problems += problems_of(name, query, program)
    metrics = {f"{name}_{column}" for name, query in queries.items() for it in query["metrics"] for column in it}
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    for rule in rules:
        problems += problems_of_alert(rule, metrics)
    text = "\n".join(query["query"] for query in queries.values())
    views = psql(program, "-At", "-c", VIEWS)
    problems += [f"rag.{view} is not monitored" for view in views.stdout.split() if f"rag.{view}" not in text]
    for problem in problems:
        print(problem)
    print(
        f"docs result: monitoring {'FAILED' if problems else 'ok'}. {len(queries)} queries, {len(metrics)} metrics, "
        f"{len(rules)} alerts; {len(problems)} problems"
    )
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
