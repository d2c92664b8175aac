"""Writes a bill of materials of what is installed, as CycloneDX JSON: crates, native libraries and the default model.

usage: sbom.py FEATURES VERSION LIBRARIES MODEL FILE NAME==VERSION...

LIBRARIES and MODEL are folders. The packages after FILE are those that the libraries were taken from.
"""

import hashlib
import json
import sys
import tomllib
from pathlib import Path

from crates import INSTALLED, dependencies, linked, metadata
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent


def crates(bom: Bom, root: Component, found: dict) -> None:
    """Adds the crates, each with the crates that are linked into it."""
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    sums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    components = {package["id"]: crate(package, sums[package["name"], package["version"]]) for package in linked(found)}
    for component in components.values():
        bom.components.add(component)
    for key, component in components.items():
        bom.register_dependency(component, [components[other] for other in dependencies(found, key)])
        if component.name in INSTALLED:
            bom.register_dependency(root, [component])


def crate(package: dict, checksum: str | None) -> Component:
    name, version = package["name"], package["version"]
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=f"{name}@{version}",
        purl=PackageURL("cargo", None, name, version) if package["source"] else None,
        licenses=[LicenseFactory().make_from_string(package["license"].replace("/", " OR "))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
    )


def files(bom: Bom, root: Component, folder: Path, pattern: str, kind: ComponentType) -> None:
    """Adds files that are installed as they were downloaded or built, with their checksums."""
    for file in sorted(folder.rglob(pattern)):
        if file.is_symlink():
            continue
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        name = str(file.relative_to(folder))
        component = Component(type=kind, name=name, hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content)])
        bom.components.add(component)
        bom.register_dependency(root, [component])


def main(features: str, version: str, libraries: str, model: str, file: str, *packages: str) -> None:
    root = Component(type=ComponentType.APPLICATION, name="ragstone", version=version, bom_ref="ragstone")
    bom = Bom()
    bom.metadata.component = root
    crates(bom, root, metadata(features))
    for package in packages:
        name, _, pinned = package.partition("==")
        component = Component(
            type=ComponentType.LIBRARY, name=name, version=pinned, purl=PackageURL("pypi", None, name, pinned)
        )
        bom.components.add(component)
        bom.register_dependency(root, [component])
    files(bom, root, Path(libraries), "*.so*", ComponentType.FILE)
    files(bom, root, Path(model), "*.onnx", ComponentType.MACHINE_LEARNING_MODEL)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        sys.exit(f"not CycloneDX: {error}")
    Path(file).write_text(text)
    print(f"sbom result: {len(json.loads(text)['components'])} components in {file}")


if __name__ == "__main__":
    main(*sys.argv[1:])
