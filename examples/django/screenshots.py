#!/usr/bin/env python3
"""Takes the README's screenshots of the running application (make django), with Debian's Chromium.

usage: screenshots.py http://127.0.0.1:8000 password-of-admin folder
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

QUESTION = "How do I take a base backup?"


def main(address: str, password: str, folder: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(base_url=address, viewport={"width": 1100, "height": 720})

        def keep(name: str) -> None:
            page.screenshot(path=folder / f"django-{name}.png")

        page.goto("/?q=" + QUESTION)
        keep("search")
        page.goto("/chat/")
        page.get_by_label("Your question").fill(QUESTION)
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#answer .sources")).to_be_visible(timeout=30_000)
        keep("chat")
        page.set_viewport_size({"width": 1500, "height": 800})
        page.goto("/accounts/login/?next=/admin/ragstone/day/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/admin/ragstone/day/")
        keep("reports")
        page.set_viewport_size({"width": 1100, "height": 720})
        page.goto("/admin/ragstone/run/")
        page.locator("th.field-id a").first.click()
        page.get_by_text("As text").click()
        page.get_by_role("heading", name="Steps").scroll_into_view_if_needed()
        page.mouse.wheel(0, 600)
        keep("run")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
