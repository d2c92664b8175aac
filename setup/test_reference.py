"""Tests of reference.py's reading of pages and outputs."""

import tempfile
import unittest
from pathlib import Path

from reference import Page, matches, plain, signature_lines

PAGE = """# A page

## rag.embed

```sql signature
rag.embed(input text) → vector
```

```sql
SELECT 1;
```

```text
 1
```

```sql
SELECT 2;
```

Words.

```text
no output
```
"""


class Reference(unittest.TestCase):
    def test_widths_do_not_count(self):
        self.assertTrue(matches(" a  | b\n----+---\n 1  | 2", " a | b\n---+-----\n 1 |   2\n"))
        self.assertFalse(matches(" a\n---\n 1", " a\n---\n 2"))

    def test_an_ellipsis_is_anything(self):
        self.assertTrue(matches("it took … ms", "it took 12.5 ms"))
        self.assertTrue(matches("first\n…\nlast", "first\n1\n2\nlast"))
        self.assertFalse(matches("it took … ms", "it took 12.5 s"))

    def test_a_pattern_in_an_output_is_none(self):
        self.assertFalse(matches("a.c (1)", "abc (1)"))

    def test_nothing_expected_is_nothing_given(self):
        self.assertTrue(matches("", ""))
        self.assertFalse(matches("", "ERROR:  42704: no such thing"))

    def test_defaults_lose_their_types(self):
        self.assertEqual(
            plain("f(a text DEFAULT 'x'::text, b text[] DEFAULT '{}'::text[], c double precision)"),
            "f(a text DEFAULT 'x', b text[] DEFAULT '{}', c float8)",
        )

    def test_a_view_has_a_line_for_each_column(self):
        self.assertEqual(
            signature_lines([("calls", "id bigint\x01role name    -- whose", "a view", "")]),
            "rag.calls\n    id bigint\n    role name    -- whose",
        )

    def test_an_output_follows_its_example(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "page.md")
            path.write_text(PAGE)
            page = Page(path)
            shown = [(page.text(block), page.text(output) if output else None) for block, output in page.examples()]
            self.assertEqual(shown, [("SELECT 1;", " 1"), ("SELECT 2;", None)])
            self.assertEqual([names for names, _, _ in page.sections()], [["embed"]])


if __name__ == "__main__":
    unittest.main()
