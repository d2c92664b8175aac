"""Finds the crates that are linked into what is installed, from cargo's metadata."""

import json
import subprocess

INSTALLED = ("ragstone", "ragstone-engine")


def metadata(features: str) -> dict:
    """Returns `cargo metadata` for this host, with these features of the extension."""
    command = [
        "cargo",
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--no-default-features",
        "--features",
        features,
    ]
    command += ["--filter-platform", host()]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def host() -> str:
    version = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return next(line.split()[1] for line in version.splitlines() if line.startswith("host:"))


def linked(metadata: dict) -> list[dict]:
    """Returns the packages that are linked into what is installed, by name: no build scripts, macros or tests."""
    packages = {package["id"]: package for package in metadata["packages"]}
    found: set[str] = set()
    to_visit = [key for key, package in packages.items() if package["name"] in INSTALLED]
    while to_visit:
        key = to_visit.pop()
        if key not in found:
            found.add(key)
            to_visit += dependencies(metadata, key)
    return sorted((packages[key] for key in found), key=lambda package: (package["name"], package["version"]))


def dependencies(metadata: dict, key: str) -> list[str]:
    """Returns the ids of the packages that are linked into this one."""
    macros = {package["id"] for package in metadata["packages"] if is_macro(package)}
    node = next(node for node in metadata["resolve"]["nodes"] if node["id"] == key)
    normal = [edge["pkg"] for edge in node["deps"] if any(kind["kind"] is None for kind in edge["dep_kinds"])]
    return [package for package in normal if package not in macros]


def is_macro(package: dict) -> bool:
    """Returns whether the package is a procedural macro, which runs in the compiler."""
    return any("proc-macro" in target["kind"] for target in package["targets"])
