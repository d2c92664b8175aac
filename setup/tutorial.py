"""Follows docs/tutorial.md in an empty folder, and uses the result: writes its files, runs its commands, asks the
page, and expects answers with citations, a refusal, and search results.

PGHOST, PGPORT and PGUSER select the server. usage: tutorial.py psql python   (one with the tutorial's requirements.txt)
"""

import http.cookiejar
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

TUTORIAL = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"(?:#|<!--) ([\w./]+)(?: -->)?\n")
# JSON has no comments, so the path of the file is above the block.
JSON = re.compile(r"^`([\w./]+)`:\n\n```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files():
    """Returns paths and texts, as a reader copies them."""
    tutorial = TUTORIAL.read_text()
    yield from JSON.findall(tutorial)
    for language, text in BLOCK.findall(tutorial):
        if language != "sh" and (path := PATH.match(text)):
            yield path[1], text


def commands():
    """Returns the lines that are run in the folder, except those that create it and start the server."""
    for language, text in BLOCK.findall(TUTORIAL.read_text()):
        for line in text.splitlines() if language == "sh" else ():
            if line.startswith(("mkdir -p", "touch", "python manage.py")) and "runserver" not in line:
                yield line


class Browser:
    def __init__(self, address):
        self.address = address
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def get(self, path):
        with self.opener.open(self.address + path, timeout=60) as response:
            return response.read().decode()

    def ask(self, question):
        """Returns the events of an answer, as the page's script receives them."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get("/"))[1]
        form = urllib.parse.urlencode({"question": question, "csrfmiddlewaretoken": token}).encode()
        self.opener.open(self.address + "/ask", form, timeout=60).read()
        events = self.get("/events")
        return [
            (name, json.loads(data)) for name, data in re.findall(r"event: (\w+)\n(?:id: \d+\n)?data: (.*)", events)
        ]


def follow(folder, psql, python):
    for line in commands():
        if line.startswith(("mkdir", "touch")):
            subprocess.run(line, shell=True, check=True, cwd=folder)
    for path, text in files():
        (folder / path).write_text(text)
    subprocess.run([psql, "-X", "-q", "-d", "postgres", "-c", "CREATE DATABASE library"], check=True)
    for line in commands():
        if line.startswith("python "):
            run = subprocess.run([python, *line.split()[1:]], check=False, cwd=folder, capture_output=True, text=True)
            assert run.returncode == 0, f"{line}: {run.stdout}{run.stderr}"


def use(browser, psql):
    yield "there is a page", "Ask the library" in browser.get("/")
    command = [psql, "-X", "-d", "library", "-c", "SELECT rag.wait_until_current('notes')"]
    yield "the notes are indexed", subprocess.run(command, check=False, capture_output=True).returncode == 0
    events = browser.ask("How many books may I borrow?")
    yield f"an answer comes, and ends ({events})", [name for name, _ in events] in (["anew", "done"], ["piece", "done"])
    page = browser.get("/")
    yield "it is quoted with its source", re.search(r"<blockquote>\[1\] Borrowing: A reader may borrow ten books", page)
    browser.ask("What is the capital of France?")
    yield "nothing is made up", "The collection does not answer this question." in browser.get("/")
    found = json.loads(browser.get("/search?q=opening+hours+on+saturday"))["results"]
    yield "the search finds", found and found[0]["title"] == "Opening hours"
    yield "another visitor has another conversation", "borrow" not in Browser(browser.address).get("/")


def main(psql, python):
    failed = passed = 0
    with tempfile.TemporaryDirectory() as name:
        try:
            follow(Path(name), psql, python)
        except AssertionError as error:
            print(error)
            sys.exit("docs result: tutorial FAILED. A command fails")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [python, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
        server = subprocess.Popen(command, cwd=name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            browser = Browser(f"http://127.0.0.1:{port}")
            until = time.monotonic() + 30
            while time.monotonic() < until:
                try:
                    browser.get("/search")
                    break
                except urllib.error.URLError:
                    time.sleep(0.1)
            for what, holds in use(browser, psql):
                passed, failed = passed + bool(holds), failed + (not holds)
                print(f"{'ok' if holds else 'FAILED'}: {what}")
        finally:
            server.terminate()
            server.wait()
    print(f"docs result: tutorial {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
