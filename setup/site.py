"""A hook of MkDocs (see mkdocs.yml). It adds the script that draws diagrams, checks and counts links to files of the checkout,
including those of README.md and other Markdown files, and checks that the tests that docs/security.md names exist.
"""

import os
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
# Where the tests are that docs/security.md names, such as `it/rights`.
TEST = re.compile(r"`(it|engine|installcheck)/(\w+)`")
TESTS = {
    "it": ["tests/it/{}.rs", "tests/it/{}"],
    "engine": ["src/engine/tests/{}.rs", "src/engine/src/{}.rs", "src/engine/src/{}"],
    "installcheck": ["tests/installcheck/sql/{}.sql"],
}
links = {"inside": 0, "outside": 0, "files": 0}


def on_files(files, config):
    files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=os.environ["RAGSTONE_MERMAID"]))
    return files


def on_pre_build(config):
    """Checks the links of the checkout's other Markdown files."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("examples/**/*.md")]:
        for _, target in LINK.findall(path.read_text()):
            if not target.startswith(("https://", "http://", "#")):
                links["files"] += 1
                if not (path.parent / target.partition("#")[0]).exists():
                    raise PluginError(f"{path.relative_to(ROOT)}: {target} does not exist")


def check_tests(markdown):
    for suite, name in TEST.findall(markdown):
        if not any((ROOT / path.format(name)).exists() for path in TESTS[suite]):
            raise PluginError(f"security.md: there is no test {suite}/{name}")


def on_page_markdown(markdown, page, config, files):
    if page.file.src_uri == "security.md":
        check_tests(markdown)
    # `sql no-run` and similar tags are for tests only.
    markdown = re.sub(r"^```sql .*$", "```sql", markdown, flags=re.MULTILINE)
    here = Path(config.docs_dir, page.file.src_uri).parent

    def link(match):
        text, target = match.groups()
        if target.startswith(("https://", "http://")):
            links["outside"] += 1
            return match[0]
        path = (here / target.partition("#")[0]).resolve()
        if target.startswith("#") or path.is_relative_to(config.docs_dir):
            links["inside"] += 1
            return match[0]
        if not path.exists() or not path.is_relative_to(ROOT):
            raise PluginError(f"{page.file.src_uri}: {target} does not exist")
        links["files"] += 1
        # A file of the checkout that is not part of the site.
        return text

    return LINK.sub(link, markdown)


def on_post_build(config):
    print(
        f"{links['inside']} links between pages, {links['files']} to files of the checkout; "
        f"{links['outside']} to other sites were not followed"
    )
