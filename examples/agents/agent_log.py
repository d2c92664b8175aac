"""Logs an agent that runs outside the database: a run is a `with` block, and so is each of its steps.

    with Run(connection, "support", {"question": "…"}) as run:
        with run.step("retrieval", "manual", input={"query": "…"}) as step:
            step["output"] = …

The connection should be in autocommit, so that a step can be read as soon as it has ended.
"""

import contextlib
import datetime
import time

from psycopg.types.json import Jsonb

START = "SELECT rag.start_run(agent => %s, input => %s, traceparent => %s)"
STEP = """SELECT rag.log_step(run => %(run)s, kind => %(kind)s, name => %(name)s, input => %(input)s, output => %(output)s,
                              started => %(started)s, duration_ms => %(duration_ms)s, status => %(status)s, error => %(error)s)"""
FINISH = "SELECT rag.finish_run(run => %s, output => %s, status => %s, error => %s)"


class Run:
    """An agent's run in rag.runs, from start to end."""

    def __init__(self, connection, agent, input=None, traceparent=None):
        self.connection = connection
        self.begin = (agent, json(input), traceparent)
        self.output = None

    def __enter__(self):
        self.id = self.connection.execute(START, self.begin).fetchone()[0]
        return self

    def __exit__(self, kind, error, traceback):
        status = "failed" if error else "done"
        self.connection.execute(FINISH, (self.id, json(self.output), status, error and repr(error)))

    @contextlib.contextmanager
    def step(self, kind, name, input=None):
        """Times the block, and logs it with the output that the block stores in the dictionary, or with its exception."""
        step = {"output": None}
        logged = {"run": self.id, "kind": kind, "name": name, "input": json(input), "status": "ok", "error": None}
        logged["started"] = datetime.datetime.now(datetime.UTC)
        begin = time.perf_counter()
        try:
            yield step
        except Exception as error:
            logged |= {"status": "error", "error": repr(error)}
            raise
        finally:
            logged |= {"duration_ms": (time.perf_counter() - begin) * 1000, "output": json(step["output"])}
            self.connection.execute(STEP, logged)


def json(value):
    return None if value is None else Jsonb(value)
