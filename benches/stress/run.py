#!/usr/bin/env python3
"""Runs the same simulated users against examples/django and a plain-Python version of it, alternating within one run.

usage: run.py PAGES.csv MODEL_FOLDER RESULTS.json [--quick]

libpq's variables select the server, on which the databases `stress_ragstone` and `stress_plain` are created again.
Writes the measurements as JSON, and prints them as a table. With --quick, each scenario must run, and no request may
fail.
"""

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psycopg

from sampler import Sampler
from sides import PROCESSES, THREADS, Side, Web, fill_plain, fill_ragstone, plain, ragstone, tell

FULL = {"users": (50, 200, 500), "seconds": 120, "ramp": 20, "wait": "2 8", "pages": 500, "runs": 300}
QUICK = {"users": (5,), "seconds": 8, "ramp": 1, "wait": "0.2 0.6", "pages": 10, "runs": 10}
SHOWN = ("search", "chat: first piece", "chat: whole answer", "upload", "admin")


def read_pages(path: str, count: int) -> list[tuple]:
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(int(row["id"]), row["title"], row["url"], row["body"]) for row in rows[:: max(1, len(rows) // count)]][
        :count
    ]


def typed(pages: list[tuple]) -> dict:
    """Returns what users type and upload: headings of the pages, and their beginnings."""
    headings = Counter(line.lstrip("# ") for *_, body in pages for line in body.splitlines() if line.startswith("#"))
    # Headings that occur on several pages, such as "See Also", are not used as questions.
    questions = [each for each, times in headings.items() if times == 1 and 2 <= len(each.split()) <= 8]
    return {"questions": questions[:300], "texts": [body[:2000] for *_, body in pages[:50]]}


def turn(side: Side, users: int, plan: dict, given: Path, folder: Path) -> dict:
    """Runs one web server with a number of users, from its start to its end."""
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    file = Path(__file__).parent / "locustfile.py"
    seconds = plan["ramp"] + plan["seconds"]
    options = f"--headless --only-summary --users {users} --spawn-rate {max(1, users / plan['ramp'])}"
    options += f" --run-time {seconds}s --stop-timeout 70 --loglevel ERROR --exit-code-on-error 0"
    # The first seconds, while users arrive, are not counted.
    options += " --reset-stats" if plan is FULL else ""
    more = {
        "STRESS_INPUT": str(given),
        "STRESS_RESULT": str(result),
        "STRESS_WAIT": plan["wait"],
        "STRESS_SECONDS": str(plan["seconds"]),
        "STRESS_ADMIN": side.admin,
    }
    with Web(side, folder / f"{side.package}.log") as web:
        command = [sys.executable, "-m", "locust", "--locustfile", file, "--host", web.url, *options.split()]
        with (folder / "locust.log").open("a") as log:
            locust = subprocess.Popen(command, env=os.environ | more, stdout=log, stderr=log)
        try:
            # Measuring starts when all users have arrived.
            time.sleep(plan["ramp"])
            with Sampler(web.process.pid, locust.pid, side.database, side.has_jobs) as sampler:
                time.sleep(plan["seconds"])
            locust.wait(timeout=120)
        finally:
            locust.terminate()
            locust.wait()
    measured = {"side": side.name, "users": users} | json.loads(result.read_text()) | sampler.summary()
    # Requests that were awaited after the last second would increase the number.
    measured["requests_at_once"] = min(users, measured["requests_at_once"])
    return measured | {"left": settle(side) if side.has_jobs else 0}


def settle(side: Side) -> int:
    """Waits until all work of a turn is done; returns how many documents were not indexed when the turn ended."""
    with side.connect() as session:
        left = session.execute("SELECT queued FROM rag.stat_collection WHERE collection = 'documents'").fetchone()[0]
        session.execute("SELECT rag.cancel_job(id) FROM rag.jobs WHERE status IN ('queued', 'running')")
        session.execute("SELECT rag.wait_until_current('documents')")
    return left


def saturated(turn: dict, limits: dict) -> list[str]:
    """Returns the names of the exhausted resources."""
    groups = {name: used for name, used in turn["processors"].items() if name != "others"}
    most = max(groups, key=groups.get)
    processors = f"processors ({most} {groups[most]:.2f}, others' programs {turn['processors']['others']:.2f})"
    tests = {
        processors: turn["processors_busy"] >= 0.9 * limits["processors"],
        "Locust's processor": groups["locust"] >= 0.9,
        "connections": turn["connections"] >= 0.95 * limits["connections"],
        "threads of the web server": turn["requests_at_once"] >= 0.9 * limits["threads"],
        "workers of jobs": turn.get("jobs_waiting_mean", 0) >= 1,
    }
    return [name for name, is_so in tests.items() if is_so]


def table(turns: list[dict]) -> str:
    """Returns the turns as a Markdown table with p50 and p95 of each scenario in ms."""
    head = ["users", "", *SHOWN, "errors", "requests/s", "saturated"]
    rows = [head, ["---"] * len(head)]
    for each in turns:
        cells = [each["scenarios"].get(name) for name in SHOWN]
        times = [f"{cell['p50_ms']:.0f}, {cell['p95_ms']:.0f}" if cell else "" for cell in cells]
        failed = sum(error["count"] for error in each["errors"])
        rows.append(
            [
                str(each["users"]),
                each["side"],
                *times,
                str(failed),
                f"{each['requests_per_second']:.1f}",
                ", ".join(each["saturated"]) or "nothing",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def check(turns: list[dict], folder: Path):
    """Exits with an error if a scenario never ran or failed."""
    for each in turns:
        missing = [name for name in SHOWN if not each["scenarios"].get(name, {}).get("count")]
        if missing or each["errors"]:
            for log in folder.glob("*.log"):
                print(f"{log.name}:", log.read_text()[-4000:], sep="\n", file=sys.stderr)
            sys.exit(f"{each['side']}: never run: {missing}; failed: {each['errors']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages")
    parser.add_argument("model", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--quick", action="store_true", help="few people for some seconds: shows that everything works")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    pages = read_pages(options.pages, plan["pages"])
    ours, theirs = sides = ragstone(), plain(options.model)
    with psycopg.connect(dbname="postgres", autocommit=True) as server:
        for side in sides:
            server.execute(f"DROP DATABASE IF EXISTS {side.database} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {side.database}")
        version = server.execute("SHOW server_version").fetchone()[0]
        connections = int(server.execute("SHOW max_connections").fetchone()[0])
    fill_ragstone(ours, pages, plan["runs"])
    fill_plain(theirs, ours)
    with tempfile.TemporaryDirectory() as name, ours.connect() as session:
        folder = Path(name)
        runs = [row[0] for row in session.execute("SELECT id FROM rag.runs")]
        editors = max(plan["users"]) // 5
        given = {
            side.name: tell(
                typed(pages) | {"runs": runs, "sessions": side.sessions(editors)}, folder / f"{side.package}.json"
            )
            for side in sides
        }
        runtime = session.execute("SELECT value FROM rag.status() WHERE name = 'runtime'").fetchone()[0]
        limits = {
            "processors": os.cpu_count(),
            "connections": connections,
            "threads": PROCESSES * THREADS,
            "job_workers": int(session.execute("SHOW rag.max_job_workers").fetchone()[0]),
        }
        turns = []
        for number, users in enumerate(plan["users"]):
            # The sides take turns in starting.
            for side in sides[:: 1 if number % 2 == 0 else -1]:
                done = turn(side, users, plan, given[side.name], folder)
                turns.append(done | {"saturated": saturated(done, limits)})
                print(table(turns[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
        if options.quick:
            check(turns, folder)
    machine = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "postgresql": version,
        "ragstone_runtime": runtime,
    }
    kept = {
        "quick": options.quick,
        "pages": len(pages),
        "plan": plan,
        "limits": limits,
        "machine": machine,
        "turns": turns,
    }
    options.results.write_text(json.dumps(kept, indent=1) + "\n")
    print(table(turns))


if __name__ == "__main__":
    main()
