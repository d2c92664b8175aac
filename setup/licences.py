"""Writes the licences of all crates that are linked into what is installed.

usage: licences.py FEATURES FILE

The licences are those in the crates. A crate without a licence file is listed with the name of its licence.
"""

import sys
from collections import defaultdict
from pathlib import Path

from crates import linked, metadata

FILES = ("LICENSE*", "LICENCE*", "COPYING*", "COPYRIGHT*", "NOTICE*", "UNLICENSE*", "license*")
RULE = "-" * 80


def texts(package: dict) -> list[str]:
    folder = Path(package["manifest_path"]).parent
    files = sorted({file for pattern in FILES for file in folder.glob(pattern) if file.is_file()})
    return [file.read_text(errors="replace").strip() for file in files]


def report(packages: list[dict]) -> str:
    names: dict[str, list[str]] = defaultdict(list)
    unnamed = []
    for package in packages:
        if package["source"] is None:
            continue
        name = f"{package['name']} {package['version']} ({package['license']})"
        own = texts(package)
        if not own:
            unnamed.append(f"{name}, {package['repository']}")
        for text in own:
            names[text].append(name)
    parts = ["Ragstone contains the following works of others."]
    for text, users in sorted(names.items(), key=lambda item: item[1]):
        parts.append(f"{RULE}\n" + "\n".join(users) + f"\n\n{text}")
    if unnamed:
        parts.append(f"{RULE}\nThese come without the text of their licence:\n\n" + "\n".join(unnamed))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    features, file = sys.argv[1:]
    Path(file).write_text(report(linked(metadata(features))))
