#!/usr/bin/env python3
"""Times Ragstone (through SQL) and the usual Python stack on the same pages of the PostgreSQL manual, alternating within one run.

usage: run.py PAGES.csv MODEL_FOLDER RESULTS.json [--quick]

libpq's variables select the server, on which the databases `stack_ragstone` and `stack_python` are created again. Writes the
seconds of each contestant in each round, and what was counted, as JSON for plot.py.
"""

import argparse
import csv
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import psycopg
from model import Model
from python_side import Python
from sql_side import Sql


def read_pages(path, count):
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(int(row["id"]), row["title"], row["url"], row["body"]) for row in rows[:: max(1, len(rows) // count)]][
        :count
    ]


def questions_about(pages, count):
    """Returns headings of the pages, used as questions."""
    headings = [line.lstrip("# ") for *_, body in pages for line in body.splitlines() if line.startswith("## ")]
    wanted = [each for each in dict.fromkeys(headings) if 2 <= len(each.split()) <= 8]
    return wanted[:: max(1, len(wanted) // count)][:count]


def log_of(lines):
    """Returns an agent's log with several formats mixed."""
    program = pathlib.Path(__file__).parents[1] / "python" / "make_log.py"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, program, str(lines), "7", folder], check=True)
        return pathlib.Path(folder, "mixed.log").read_text(encoding="utf-8")


def timed(work):
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def hold(contests, rounds):
    """Runs each contestant once per round, beginning with another one each time, so that the order has no effect."""
    results = []
    for name, unit, contestants in contests:
        times = {who: [] for who, _ in contestants}
        counts = {}
        for turn in range(rounds):
            for who, work in contestants[turn % len(contestants) :] + contestants[: turn % len(contestants)]:
                seconds, counts[who] = timed(work)
                times[who].append(seconds)
        results.append({"name": name, "unit": unit, "count": counts, "seconds": times})
        print(
            name,
            {who: f"{min(each):.3f} to {max(each):.3f} s, {counts[who]} {unit}" for who, each in times.items()},
            flush=True,
        )
    return results


def contests(sql, python):
    """Returns what is compared: a name, the unit that is counted, and each contestant's function."""
    return [
        ("chunk", "passages", [("rag.chunk", sql.chunk), ("LangChain text splitter", python.chunk)]),
        ("embed", "passages", [("rag.embed", sql.embed), ("fastembed", python.embed)]),
        (
            "fill",
            "passages",
            [("collection", sql.fill), ("LangChain, pgvector", python.fill_pgvector), ("Chroma", python.fill_chroma)],
        ),
        (
            "text search",
            "questions",
            [("rag.search", sql.text), ("bm25s", python.bm25s), ("rank-bm25", python.rank_bm25)],
        ),
        (
            "vector search",
            "questions",
            [("rag.search", sql.vector), ("LangChain, pgvector", python.pgvector), ("Chroma", python.chroma)],
        ),
        (
            "hybrid search",
            "questions",
            [("rag.search", sql.hybrid), ("LangChain, pgvector and tsvector", python.hybrid)],
        ),
        ("log parsing", "steps", [("rag.parse_log", sql.parse_log), ("json, re and datetime", python.parse_log)]),
        ("ask", "questions", [("rag.ask", sql.ask), ("LangChain, pgvector and tsvector", python.ask)]),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="little data, one round: shows that everything works")
    options = parser.parse_args()
    pages = read_pages(options.pages, 10 if options.quick else 100)
    questions = questions_about(pages, 5 if options.quick else 100)
    log = log_of(500 if options.quick else 20_000)
    with psycopg.connect("dbname=postgres", autocommit=True) as server:
        for name in ("stack_ragstone", "stack_python"):
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {name}")
        version = server.execute("SHOW server_version").fetchone()[0]
    with Model() as model:
        sql = Sql(pages, questions, log, model.url)
        python = Python(pages, questions, log, model.url, options.model)
        results = hold(contests(sql, python), 1 if options.quick else 3)
        sql.close()
        python.close()
    machine = {
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "postgresql": version,
    }
    options.results.write_text(
        json.dumps({"quick": options.quick, "pages": len(pages), "machine": machine, "contests": results}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    main()
