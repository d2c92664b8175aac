"""Writes the licences of all crates that are linked into what is installed.

usage: licences.py FEATURES FILE

Licences are those that the crates come with. A crate without a file of its own is listed with the name of its licence.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

INSTALLED = ("ragstone", "ragstone-engine")
FILES = ("LICENSE*", "LICENCE*", "COPYING*", "COPYRIGHT*", "NOTICE*", "UNLICENSE*", "license*")
RULE = "-" * 80


def linked(metadata: dict) -> list[dict]:
    """The packages that are linked into those that are installed, by name: no build scripts, no tests."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found: set[str] = set()
    to_visit = [key for key, package in packages.items() if package["name"] in INSTALLED]
    while to_visit:
        key = to_visit.pop()
        if key in found:
            continue
        found.add(key)
        for dependency in nodes[key]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]) and not is_macro(packages[dependency["pkg"]]):
                to_visit.append(dependency["pkg"])
    return sorted((packages[key] for key in found), key=lambda package: (package["name"], package["version"]))


def is_macro(package: dict) -> bool:
    """A procedural macro runs in the compiler."""
    return any("proc-macro" in target["kind"] for target in package["targets"])


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


def main(features: str, file: str) -> None:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--no-default-features", "--features", features]
    command += ["--filter-platform", host()]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    Path(file).write_text(report(linked(metadata)))


def host() -> str:
    version = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return next(line.split()[1] for line in version.splitlines() if line.startswith("host:"))


if __name__ == "__main__":
    main(*sys.argv[1:])
