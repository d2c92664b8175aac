"""Tests of licences.py: which licences are written, and that each text is written once."""

import tempfile
import unittest
from pathlib import Path

from crates import linked
from licences import report


def package(name, folder=None, macro=False, source="registry"):
    target = {"kind": ["proc-macro" if macro else "lib"]}
    manifest = str(Path(folder or "/nowhere") / "Cargo.toml")
    return {
        "id": name, "name": name, "version": "1.0", "license": "MIT", "repository": "https://example.org",
        "manifest_path": manifest, "targets": [target], "source": source,
    }  # fmt: skip


def metadata(packages, edges):
    nodes = [
        {"id": p["id"], "deps": [{"pkg": to, "dep_kinds": [{"kind": kind}]} for of, to, kind in edges if of == p["id"]]}
        for p in packages
    ]
    return {"packages": packages, "resolve": {"nodes": nodes}}


class Licences(unittest.TestCase):
    def test_only_what_is_linked_counts(self):
        packages = [
            package("ragstone", source=None),
            package("json"),
            package("build"),
            package("test"),
            package("benches"),
        ]
        packages += [package("derive", macro=True), package("syntax")]
        edges = [("ragstone", "json", None), ("ragstone", "build", "build"), ("ragstone", "test", "dev")]
        edges += [("benches", "test", None), ("json", "derive", None), ("derive", "syntax", None)]
        self.assertEqual([p["name"] for p in linked(metadata(packages, edges))], ["json", "ragstone"])

    def test_a_text_is_written_once_for_all_that_have_it(self):
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            for folder in (first, second):
                Path(folder, "LICENSE-MIT").write_text("Do as you like.\n")
            text = report(
                [package("one", first), package("two", second), package("three"), package("own", source=None)]
            )
        self.assertEqual(text.count("Do as you like."), 1)
        self.assertIn("one 1.0 (MIT)\ntwo 1.0 (MIT)\n\nDo as you like.", text)
        self.assertIn("three 1.0 (MIT), https://example.org", text)
        self.assertNotIn("own 1.0", text)


if __name__ == "__main__":
    unittest.main()
