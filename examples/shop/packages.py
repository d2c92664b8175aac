#!/usr/bin/env python3
"""Prints the packages of Debian's package index, which apt keeps on this machine, as rows for COPY.

The columns are name, section, summary, description, price, size, dated, tags. The price is made up: a cent for each 10 kB
that the package takes when it is installed. `dated` is the date in the version, where it has one (`1.2~git20210304-1`).

usage: packages.py [number of packages]
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

LISTS = Path("/var/lib/apt/lists")
HELPER = "/usr/lib/apt/apt-helper"
FIELD = re.compile(r"^([A-Za-z0-9-]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)(\d\d)(\d\d)(?!\d)")
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def main(number: int) -> None:
    paths = sorted(LISTS.glob("*_main_binary-*_Packages*"), key=lambda path: path.stat().st_size, reverse=True)
    if not paths:
        sys.exit(f"there is no package index in {LISTS}: run apt-get update")
    packages = [row for row in map(product, stanzas(paths[0])) if row]
    # Some packages from all parts of the index, the same ones at each call.
    step = max(len(packages) / number, 1)
    for place in range(min(number, len(packages))):
        print("\t".join(copied(value) for value in packages[int(place * step)]))


def stanzas(path: Path) -> Iterator[dict[str, str]]:
    """Yields the fields of each package. apt's helper reads whatever the index is compressed with."""
    read = subprocess.run([HELPER, "cat-file", path], check=True, capture_output=True, text=True, errors="replace")
    for stanza in read.stdout.split("\n\n"):
        if fields := dict(FIELD.findall(stanza)):
            yield fields


def product(fields: dict[str, str]) -> tuple[object, ...] | None:
    """Returns the columns of a package, or None for one without a description."""
    if "Description" not in fields:
        return None
    summary, _, rest = fields["Description"].partition("\n")
    # A line with a point is an empty one. Where apt keeps the long descriptions in another file, names say what is there.
    lines = ["" if line.strip() == "." else line.strip() for line in rest.splitlines()]
    tags = [tag.strip() for tag in fields.get("Tag", "").replace("\n", "").split(",") if tag.strip()]
    installed = int(fields.get("Installed-Size", "0"))
    return (
        fields["Package"],
        fields.get("Section", "none").rpartition("/")[2],
        summary,
        "\n".join(lines).strip() or f"{fields['Package']}: {summary}.",
        f"{max(installed, 10) / 1000:.2f}",
        int(fields.get("Size", "0")),
        dated(fields.get("Version", "")),
        "{" + ",".join(f'"{tag}"' for tag in tags) + "}",
    )


def dated(version: str) -> date | None:
    """Returns the date in a version."""
    for year, month, day in DATE.findall(version):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def copied(value: object) -> str:
    """Returns a value in the text format of COPY."""
    return r"\N" if value is None else str(value).translate(ESCAPES)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
