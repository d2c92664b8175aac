"""Tests of manual.py: the Markdown of a page of the manual."""

import unittest

from manual import convert


def markdown(body):
    return convert(f"<html><head><title>1.2. Page</title></head><body>{body}</body></html>")[1].strip()


class Manual(unittest.TestCase):
    def test_title_has_no_number(self):
        for title in ("Page", "1.2. Page", "Chapter 7. Page", "F.3. Page", "Appendix B. Page", "Part II. Page"):
            self.assertEqual(convert(f"<html><head><title>{title}</title></head></html>")[0], "Page")

    def test_navigation_and_contents_are_left_out(self):
        page = '<div class="navheader"><table><tr><td>Prev</td></tr></table><hr /></div><p>Text</p>'
        page += '<div class="toc"><dl><dt>1.1. Other</dt></dl></div><div class="navfooter"><p>Next</p></div>'
        self.assertEqual(markdown(page), "Text")

    def test_heading_keeps_its_level_and_loses_its_number(self):
        self.assertEqual(markdown("<h3>19.5.1. Settings of <code>wal</code></h3>"), "### Settings of wal")

    def test_note_is_not_a_heading(self):
        self.assertEqual(markdown('<div class="note"><h3>Note</h3><p>Mind.</p></div>'), "**Note**\n\nMind.")

    def test_code_block_keeps_its_lines_and_marks_no_inline_code(self):
        page = "<pre>\nSELECT <em><code>a</code></em>\n  FROM t &lt; 1;\n</pre><p>After</p>"
        self.assertEqual(markdown(page), "```\nSELECT a\n  FROM t < 1;\n```\n\nAfter")

    def test_nested_code_is_marked_once(self):
        self.assertEqual(
            markdown("<p>Type <code>\\d <em><code>name</code></em></code> now.</p>"), "Type `\\d name` now."
        )

    def test_list_items_are_numbered_and_indented(self):
        page = "<ol><li><p>One</p><ul><li>In</li></ul></li><li><p>Two</p><p>More</p></li></ol>"
        self.assertEqual(markdown(page), "1. One\n\n  - In\n\n2. Two\n\n  More")

    def test_term_is_bold(self):
        page = "<dl><dt><code>wal_level</code></dt><dd><p>Meaning</p></dd></dl>"
        self.assertEqual(markdown(page), "**`wal_level`**\n\nMeaning")

    def test_table_has_a_header_and_escapes_bars(self):
        page = "<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td>x|y</td><td><p>1</p><p>2</p></td></tr></tbody></table>"
        self.assertEqual(markdown(page), "| A | B |\n| --- | --- |\n| x\\|y | 1 2 |")

    def test_table_of_one_column_is_a_list(self):
        page = "<table><tr><td><p>f ( text )</p><p>Returns it.</p></td></tr><tr><td>g</td></tr></table>"
        self.assertEqual(markdown(page), "- f ( text ) Returns it.\n- g")


if __name__ == "__main__":
    unittest.main()
