"""The pages in a real browser: what only JavaScript, a keyboard, a phone or a screen reader reveals."""

import os
import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from ragstone.models import Day, MessageFeedback
from tests.conftest import eventually, execute

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
QUESTION = "What does VACUUM do with the space of dead rows?"
PHONE = {"width": 360, "height": 640}
# The two of axe's four levels that prevent users from using the page.
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser():
    # Playwright's event loop runs in this thread, so Django takes the thread for an asynchronous view.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        # A container has no user namespaces for the sandbox; the pages are trusted.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def open_page(browser, live_server):
    """Opens a page of the application in a new browser; fails if one of its scripts failed."""
    contexts, errors = [], []

    def open_page(path, client=None, **options):
        context = browser.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        context.set_default_timeout(20_000)
        if client:
            session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
            context.add_cookies([session])
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        # The browser reports violations of the content security policy only on the console.
        page.on("console", lambda said: errors.append(said.text) if "Security Policy" in said.text else None)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def ask(page, question):
    """Types a question, and submits it with the keyboard."""
    page.get_by_label("Your question").fill(question)
    page.get_by_label("Your question").press("Enter")


def test_ask_stream_cite_switch_rate_reload(open_page, with_provider):
    page = open_page("/chat/")
    with with_provider.held():
        ask(page, QUESTION)
        answer = page.locator("#answer")
        # The first piece is shown, and the model has not sent the rest yet.
        expect(answer).to_have_text(re.compile("VACUUM"))
        expect(answer).to_have_attribute("aria-busy", "true")
        page.reload()
        expect(answer).to_have_text(re.compile("VACUUM"))
        with_provider.released.set()
    expect(answer).to_contain_text("frees the space of dead rows.")
    expect(answer).to_have_attribute("aria-busy", "false")
    expect(page.get_by_label("Your question")).to_be_focused()

    page.get_by_role("link", name="Source 1: Routine Vacuuming").first.click()
    passage = page.locator("#passage")
    expect(passage).to_be_in_viewport()
    expect(passage).to_contain_text("VACUUM makes the space of dead rows usable again")
    page.get_by_role("link", name="Back to the conversation").click()

    page.get_by_label("Answered by").select_option("Teacher")
    ask(page, "And what does it keep from running out?")
    expect(page.locator("#answer p.heading")).to_have_text("Teacher, stub/stub")
    expect(page.get_by_label("Answered by")).to_have_value("Teacher")

    last = page.locator("#answer")
    last.get_by_label("Comment").fill("short and right")
    last.get_by_role("button", name="Helpful", exact=True).click()
    page.wait_for_url(re.compile("#message-"))
    page.reload()
    rated = page.locator("article.assistant").last
    expect(rated.get_by_role("button", name="Helpful", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(rated.get_by_label("Comment")).to_have_value("short and right")
    assert MessageFeedback.objects.latest("given_at").score == 1


def test_a_refusal_is_shown_where_the_answer_would_be(open_page, with_provider):
    with_provider.status = 500
    page = open_page("/chat/")
    ask(page, QUESTION)
    expect(page.get_by_text("The language model's provider refused to answer.")).to_be_visible()


def test_chat_works_without_javascript(open_page):
    page = open_page("/chat/", java_script_enabled=False)
    page.get_by_label("Your question").fill("How do I take a base backup?")
    page.get_by_role("button", name="Ask").click()
    # The page reloads itself until the answer is complete.
    expect(page.get_by_text("The program pg_basebackup takes a base backup of a running server.")).to_be_visible()


def test_search_works_without_javascript(open_page):
    page = open_page("/", java_script_enabled=False)
    page.get_by_label("What are you looking for?").fill("base backup")
    page.get_by_label("What are you looking for?").press("Enter")
    expect(page.locator(".passages mark").first).to_have_text(re.compile("base|backup", re.IGNORECASE))
    page.get_by_role("link", name=re.compile("^wal.html")).click()
    expect(page.locator(".passages h3")).to_have_text(["Write-ahead log"])
    page.get_by_role("link", name="Write-ahead log").click()
    expect(page.locator("#passage")).to_be_in_viewport()


def test_a_file_is_sent_with_progress_and_can_be_searched(open_page, client, librarian):
    client.force_login(librarian)
    page = open_page("/documents/", client)
    page.get_by_label("File").set_input_files(
        {"name": "fees.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7"}
    )
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#progress")).to_contain_text("none of the files that can be read")
    page.evaluate(SEEN)
    page.get_by_label("File").set_input_files({"name": "fees.txt", "mimeType": "text/plain", "buffer": b"Two a day."})
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_text("“fees” is here.")).to_be_visible()
    assert page.evaluate("Number(sessionStorage.sent)") == 100
    execute("SELECT rag.wait_until_current('documents', '60 s')")
    page.goto("/?in=documents&q=day")
    expect(page.locator(".passages h3")).to_have_text(["fees"])


# Stores the progress bar's last value, because another page is loaded afterwards.
SEEN = """() => new MutationObserver(() => { sessionStorage.sent = document.querySelector("progress").value })
    .observe(document.querySelector("progress"), { attributes: true })"""


@pytest.fixture
def pages(open_page, client, admin_user, with_provider):
    """Returns a function that opens every kind of page, with content."""
    client.force_login(admin_user)
    execute("SELECT rag.create_agent('desk', 'You help at the desk.', 'stub')")

    def pages(**options):
        page = open_page("/", client, **options)
        yield page
        for address in ["/?q=base+backup", "/?q=base+backup&facet=url:wal.html", "/read/manual/2/", "/documents/"]:
            page.goto(address)
            yield page
        page.goto("/chat/")
        yield page
        ask(page, QUESTION)
        expect(page.locator("#answer, .assistant").get_by_label("Comment")).to_be_visible()
        yield page
        page.get_by_role("link", name="Source 1: Routine Vacuuming").first.click()
        yield page
        for address in ["/nowhere/", "/chat/personas/", "/agents/"]:
            page.goto(address)
            yield page
        page.get_by_label("Task").fill("Look into the manual.")
        page.get_by_role("button", name="Begin").click()
        expect(page.locator(".said")).to_contain_text("frees the space of dead rows.")
        yield page

    yield pages
    execute("SELECT rag.drop_agent('desk')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(pages, scheme):
    for page in pages(color_scheme=scheme):
        assert serious(page) == [], page.url


def test_axe_finds_nothing_serious_in_the_reports(open_page, client, admin_user):
    client.force_login(admin_user)
    run = execute("SELECT rag.start_run('charted')")
    execute("SELECT rag.log_step(%s, 'tool', 'get_order', status => 'error', error => 'not found')", run)
    eventually(Day.objects.filter(agent="charted").exists)
    # axe adds its own styles to the page.
    page = open_page("/admin/ragstone/day/", client, bypass_csp=True)
    for address in [
        "/admin/ragstone/day/",
        f"/admin/ragstone/run/{run}/change/",
        "/admin/ragstone/collection/manual/change/",
    ]:
        page.goto(address)
        assert serious(page) == [], address


def serious(page):
    """Returns the serious violations that axe finds, with their elements."""
    violations = Axe().run(page).response["violations"]
    return [(v["id"], [node["html"] for node in v["nodes"]]) for v in violations if v["impact"] in SERIOUS]


def test_no_page_is_wider_than_a_phone(pages):
    for page in pages(viewport=PHONE):
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], page.url


def test_the_keyboard_comes_to_the_content_and_is_seen(open_page):
    page = open_page("/read/manual/2/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def test_reports_are_charts_in_a_browser(open_page, client, admin_user):
    client.force_login(admin_user)
    run = execute("SELECT rag.start_run('charted')")
    execute("SELECT rag.log_step(%s, 'model', 'm', input_tokens => 3, output_tokens => 2)", run)
    execute("SELECT rag.finish_run(%s)", run)
    eventually(Day.objects.filter(agent="charted", done=1).exists)
    page = open_page("/admin/ragstone/day/?agent=charted", client)
    drawn = "canvas => Chart.getChart(canvas).data.datasets.length > 0"
    labels = "canvas => Chart.getChart(canvas).data.datasets.map(set => set.label)"
    assert page.locator("[data-chart=tokens]").evaluate(labels) == ["input tokens", "output tokens"]
    assert all(canvas.evaluate(drawn) for canvas in page.locator("canvas:visible").all())
    # One day has no line, and what was nothing but 0 has no chart.
    assert page.locator("[data-chart=latency]").evaluate("canvas => Chart.getChart(canvas).config.type") == "bar"
    expect(page.locator("[data-chart=cost]")).to_be_hidden()
    # The other pages of the admin do not violate the policy either, which open_page checks.
    for address in ["run/", "step/", "collection/manual/change/", "budget/add/"]:
        page.goto(f"/admin/ragstone/{address}")
