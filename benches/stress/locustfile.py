"""Simulated users of the application, each in a browser: four of five search and ask, the fifth administers.

run.py starts it with STRESS_INPUT, what users type, STRESS_WAIT, how long they wait between actions, and STRESS_RESULT,
the file of the results.
"""

import json
import os
import random
import re
import time
from itertools import count
from pathlib import Path

from locust import HttpUser, between, events, task

INPUT = json.loads(Path(os.environ["STRESS_INPUT"]).read_text())
# Minimum and maximum time between two actions, in seconds.
WAIT = map(float, os.environ.get("STRESS_WAIT", "2 8").split())
# Time after which an action has failed, in seconds.
PATIENCE = 60
FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
STREAM = re.compile(r'data-events="([^"]+)"')
numbers = count()


class Failed(Exception):
    """The reason why no answer came; Locust groups failures by this text."""


def refusal(page):
    """Returns why a response is not a page; Locust has no status code if no response came."""
    return f"status {page.status_code}" if page.status_code else f"no reply: {type(page.error).__name__}"


class Browser(HttpUser):
    """Performs the actions of `plan` in turn, starting at a different action in each browser."""

    abstract = True
    wait_time = between(*WAIT)
    plan: tuple[str, ...]

    def on_start(self):
        self.number = next(numbers)
        self.turn = self.number
        self.random = random.Random(self.number)

    @task
    def act(self):
        getattr(self, self.plan[self.turn % len(self.plan)])()
        self.turn += 1

    def get(self, address, name, wanted, **parameters):
        """Returns a page that must contain a text, or None after a failure."""
        with self.client.get(address, params=parameters, name=name, timeout=PATIENCE, catch_response=True) as page:
            return self.checked(page, wanted)

    def post(self, address, name, wanted, fields, files=None):
        headers = {"Origin": self.host}
        with self.client.post(
            address, fields, files=files, headers=headers, name=name, timeout=PATIENCE, catch_response=True
        ) as page:
            return self.checked(page, wanted)

    def checked(self, page, wanted):
        if page.status_code != 200:
            page.failure(refusal(page))
        elif wanted not in page.text:
            page.failure(f"the page has no “{wanted}”")
        else:
            return page

    def measured(self, name, begun, error=None, until=None):
        """Records an action that consists of several requests, timed from a given moment."""
        took = ((until or time.perf_counter()) - begun) * 1000 if begun else 0
        self.environment.events.request.fire(
            request_type="chat", name=name, response_time=took, response_length=0, exception=error, context={}
        )


class Reader(Browser):
    """Searches three times per question."""

    weight = 4
    plan = ("search", "search", "chat", "search")

    def search(self):
        page = self.get("/", "search", 'class="passages"', q=self.random.choice(INPUT["questions"]))
        if page is not None and "The search by meaning is away" in page.text:
            self.measured("search by meaning", 0, Failed("found by words alone"))

    def chat(self):
        form = self.get("/chat/", "chat: form", "csrfmiddlewaretoken")
        if form is None:
            return
        fields = dict(FIELD.findall(form.text))
        fields |= {"message": self.random.choice(INPUT["questions"]), "persona": "Teacher", "collection": "manual"}
        begun = time.perf_counter()
        page = self.post("/chat/", "chat: question", 'class="message assistant"', fields)
        if page is not None and (first := self.listen(page.text, begun)):
            self.measured("chat: first piece", begun, until=first)
            self.measured("chat: whole answer", begun)

    def listen(self, page, begun):
        """Reads an answer to its end, and returns when its first piece came; None after a failure."""
        stream = STREAM.search(page)
        if not stream:
            # The answer was complete before the page was loaded.
            return time.perf_counter()
        opened = time.perf_counter()
        with self.client.get(
            stream[1], stream=True, name="chat: events", timeout=PATIENCE, catch_response=True
        ) as reply:
            try:
                return self.read(reply, begun)
            except Failed as error:
                reply.failure(str(error))
            finally:
                # Locust's own time ends with the headers.
                reply.request_meta["response_time"] = (time.perf_counter() - opened) * 1000
                # A browser uses a separate connection for a stream.
                reply.close()

    def read(self, reply, begun):
        first = None
        if reply.status_code != 200:
            raise Failed(refusal(reply))
        try:
            for line in reply.iter_lines(chunk_size=None):
                if time.perf_counter() - begun > PATIENCE:
                    raise Failed(f"no answer in {PATIENCE} s")
                if line.startswith((b"event: piece", b"event: anew")):
                    first = first or time.perf_counter()
                elif line == b"event: done":
                    reply.success()
                    return first or time.perf_counter()
                elif line == b"event: failed":
                    raise Failed("the answer failed")
        except OSError as error:
            raise Failed(f"the stream broke off: {type(error).__name__}") from None
        raise Failed("the stream ended without an answer")


class Editor(Browser):
    """Uploads documents and views reports, in a browser that is already logged in."""

    weight = 1
    plan = ("upload", "days", "runs", "trace")

    def on_start(self):
        super().on_start()
        self.client.cookies.set("sessionid", INPUT["sessions"][self.number % len(INPUT["sessions"])])

    def upload(self):
        form = self.get("/documents/", "upload: form", "csrfmiddlewaretoken")
        if form is None:
            return
        # Another field with that name belongs to the log-out button.
        fields = {"csrfmiddlewaretoken": dict(FIELD.findall(form.text))["csrfmiddlewaretoken"]}
        text = self.random.choice(INPUT["texts"])
        self.post("/documents/upload/", "upload", "is here.", fields, {"file": ("notes.md", text, "text/markdown")})

    def days(self):
        self.get(self.admin("day"), "admin", 'data-chart="runs"')

    def runs(self):
        self.get(self.admin("run"), "admin", 'class="field-agent')

    def trace(self):
        number = self.random.choice(INPUT["runs"])
        self.get(f"{self.admin('run')}{number}/change/", "admin", 'class="steps"')

    def admin(self, model):
        return f"/admin/{os.environ.get('STRESS_ADMIN', 'ragstone')}/{model}/"


@events.user_error.add_listener
def broken(user_instance, exception, **_):
    """Records exceptions of this file as failures."""
    user_instance.measured("scenario", 0, exception)


@events.quitting.add_listener
def write(environment, **_):
    """Stores the measurements."""
    if "STRESS_RESULT" not in os.environ:
        return
    stats = environment.stats
    # Requests that started within this time are awaited, and count among the times, but not in the
    # throughput.
    seconds = float(os.environ["STRESS_SECONDS"])
    requests = [entry for entry in stats.entries.values() if entry.method != "chat"]
    until = stats.start_time + seconds
    in_time = sum(count for entry in requests for at, count in entry.num_reqs_per_sec.items() if at < until)
    done = {
        "requests_per_second": in_time / seconds,
        # Little's law.
        "requests_at_once": sum(entry.total_response_time for entry in requests) / 1000 / seconds,
        "scenarios": {
            entry.name: {
                "count": entry.num_requests,
                "failed": entry.num_failures,
                "p50_ms": entry.get_response_time_percentile(0.5),
                "p95_ms": entry.get_response_time_percentile(0.95),
            }
            for entry in stats.entries.values()
        },
        "errors": [
            {"scenario": error.name, "reason": str(error.error), "count": error.occurrences}
            for error in stats.errors.values()
        ],
    }
    Path(os.environ["STRESS_RESULT"]).write_text(json.dumps(done))
