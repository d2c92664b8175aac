"""Samples the processor time of each group of processes, and the number of connections, once a second until it is stopped."""

import os
import threading
from contextlib import suppress

import psutil
import psycopg

CONNECTIONS = """
SELECT count(*), count(*) FILTER (WHERE state <> 'idle')
FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
JOBS = "SELECT count(*) FILTER (WHERE status = 'queued'), count(*) FILTER (WHERE status = 'running') FROM rag.jobs"


class Sampler:
    """Samples within a `with` block; `summary` returns the results."""

    def __init__(self, web: int, locust: int, database: str, has_jobs: bool):
        self.roots = {"web": psutil.Process(web), "locust": psutil.Process(locust)}
        self.session = psycopg.connect(dbname=database, autocommit=True)
        # The postmaster is the parent process of each session's backend.
        backend = self.session.info.backend_pid
        self.server = psutil.Process(psutil.Process(backend).ppid())
        self.database, self.has_jobs = database, has_jobs
        self.used: dict[str, float] = {}
        # By process number and start time: the processor time that a process had used when it was last seen,
        # and its group.
        self.last: dict[tuple, tuple[float, str]] = {}
        self.counts: list[tuple] = []
        self.jobs: list[tuple] = []
        self.ended = threading.Event()

    def __enter__(self):
        self.cpu = psutil.cpu_times()
        self.reaped = self.of_children()
        self.look(first=True)
        self.thread = threading.Thread(target=self.go_on)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.look()
        # Job workers may end before they are seen; the postmaster knows the processor time of its ended
        # children.
        ended = self.of_children() - self.reaped
        self.used["workers"] = self.used.get("workers", 0) + max(0, ended - self.seen_of_ended())
        before, self.cpu = self.cpu, psutil.cpu_times()
        self.seconds = (sum(self.cpu) - sum(before)) / os.cpu_count()
        self.busy = os.cpu_count() - (self.cpu.idle - before.idle + self.cpu.iowait - before.iowait) / self.seconds
        self.memory = {name: round(size / 2**20) for name, size in self.unshared().items()}
        self.session.close()

    def go_on(self):
        while not self.ended.wait(1):
            self.look()
            self.counts.append(self.session.execute(CONNECTIONS, [self.database]).fetchone())
            if self.has_jobs:
                self.jobs.append(self.session.execute(JOBS).fetchone())

    def of_children(self) -> float:
        times = self.server.cpu_times()
        return times.children_user + times.children_system

    def processes(self):
        for name, root in self.roots.items():
            yield name, root
            for child in children(root):
                yield name, child
        yield "server", self.server
        for child in children(self.server):
            with suppress(psutil.NoSuchProcess):
                yield group(child), child

    def look(self, first=False):
        """Adds the processor time that each process has used since the last sample."""
        for name, process in self.processes():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total, mark = times.user + times.system, (process.pid, process.create_time())
                # A new process has used all of its time since the last sample.
                before = total if first else self.last.get(mark, (0, name))[0]
                self.used[name] = self.used.get(name, 0) + total - before
                self.last[mark] = total, name

    def seen_of_ended(self) -> float:
        """Returns the processor time of ended children of the server that was counted already."""
        alive = {process.pid for process in children(self.server)} | {self.server.pid}
        own = ("sessions", "workers", "server")
        return sum(total for (pid, _), (total, name) in self.last.items() if name in own and pid not in alive)

    def unshared(self):
        """Returns the unshared memory of each group, in bytes."""
        sizes: dict[str, int] = {}
        for name, process in self.processes():
            with suppress(psutil.Error):
                sizes[name] = sizes.get(name, 0) + process.memory_full_info().uss
        return sizes

    def summary(self) -> dict:
        used = {name: round(seconds / self.seconds, 3) for name, seconds in self.used.items()}
        summary = {
            "processors_busy": round(self.busy, 3),
            "processors": used | {"others": round(max(0, self.busy - sum(used.values())), 3)},
            "connections": max((total for total, _ in self.counts), default=0),
            "connections_active": max((active for _, active in self.counts), default=0),
            "unshared_mb": self.memory,
        }
        if self.jobs:
            summary["jobs_waiting"] = max(waiting for waiting, _ in self.jobs)
            summary["jobs_waiting_mean"] = round(sum(waiting for waiting, _ in self.jobs) / len(self.jobs), 1)
        return summary


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def group(process: psutil.Process) -> str:
    """Returns the part of the server that a process belongs to."""
    title = " ".join(process.cmdline())
    if "ragstone-engine" in title:
        return "engine"
    if title.startswith("postgres: ragstone"):
        return "workers"
    return "sessions" if "[local]" in title else "server"
