"""What MkDocs does not do by itself with docs/ (a hook, see mkdocs.yml): it brings the script that draws diagrams, and
checks and counts links to files of the checkout that are no pages, also those of README.md and its like.
"""

import os
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
links = {"inside": 0, "outside": 0, "files": 0}


def on_files(files, config):
    files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=os.environ["RAGSTONE_MERMAID"]))
    return files


def on_pre_build(config):
    """The links of the other Markdown files of the checkout."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("examples/**/*.md")]:
        for _, target in LINK.findall(path.read_text()):
            if not target.startswith(("https://", "http://", "#")):
                links["files"] += 1
                if not (path.parent / target.partition("#")[0]).exists():
                    raise PluginError(f"{path.relative_to(ROOT)}: {target} does not exist")


def on_page_markdown(markdown, page, config, files):
    # `sql no-run` and the like are for tests.
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
        # A file of the checkout, which the site has not got.
        return text

    return LINK.sub(link, markdown)


def on_post_build(config):
    print(
        f"{links['inside']} links between pages, {links['files']} to files of the checkout; "
        f"{links['outside']} to other sites were not followed"
    )
