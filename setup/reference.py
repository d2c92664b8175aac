"""Checks docs/reference/ against a server with Ragstone, which PGHOST, PGPORT and PGUSER select:

- each function, view, table and setting of the extension is documented, with its signature, columns and default;
- each function has its errors, its costs, all its arguments with their defaults, and an example whose output is
  checked; a line that begins with **Arguments** names the function that has the same arguments, so that each argument
  is described once;
- each SQLSTATE that the code raises is on the page of errors;
- each example returns the output below it, in which `…` matches anything.

usage: reference.py [--write] psql errcodes.txt [page...]
--write stores the actual signatures, defaults and outputs, to be reviewed before they are committed.
"""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import stand_in

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
FENCE = re.compile(r"^```")
ROW = re.compile(r"^\| ([^|]*) \|([^|]*)\|")
WRAPPER = textwrap.TextWrapper(100, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
CODE = re.compile(r"\b(?:\d{5}|[0-9A-Z]{2}(?=[0-9A-Z]*\d)[0-9A-Z]{3})\b")
SHORT = {"double precision": "float8", "timestamp with time zone": "timestamptz", "integer": "int"}
# A plain NOTICE, errors that only workers meet, session ends that PostgreSQL itself causes, a trigger
# function that is called directly.
UNLISTED = {"00000", "39P01", "3D000", "55P03", "57P01", "57P02", "57P04", "XX000"}

FUNCTIONS = r"""
SELECT proname, (CASE prokind WHEN 'p' THEN 'CALL ' ELSE '' END) || 'rag.' || proname
  || '(' || pg_get_function_arguments(p.oid) || ')' || coalesce((CASE prokind WHEN 'w' THEN ' OVER (…)' ELSE '' END)
  || ' → ' || pg_get_function_result(p.oid), ''),
  (CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END)
  || (CASE WHEN proisstrict THEN ', strict' ELSE '' END) || ', cost ' || procost::bigint,
  array_to_string(ARRAY(SELECT proargnames[n] || ' ' || coalesce(pg_get_function_arg_default(p.oid, n), '')
    FROM generate_series(1, pronargs) n), E'\x01')
FROM pg_proc p WHERE pronamespace = 'rag'::regnamespace AND proname !~ '^_' ORDER BY proname, p.oid
"""
RELATIONS = r"""
SELECT relname, string_agg(attname || ' ' || format_type(atttypid, atttypmod)
  || coalesce('    -- ' || col_description(c.oid, attnum), ''), E'\x01' ORDER BY attnum),
  obj_description(c.oid, 'pg_class'), ''
FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
WHERE relnamespace = 'rag'::regnamespace AND relkind IN ('r', 'v', 'm', 'p') AND relname !~ '^_'
  AND coalesce(obj_description(c.oid, 'pg_class'), '') !~ '^internal' GROUP BY c.oid, relname ORDER BY relname
"""
SETTINGS = r"""
LOAD 'ragstone';
SELECT name, CASE vartype WHEN 'enum' THEN lower(boot_val) ELSE current_setting(name) END,
  CASE context WHEN 'user' THEN 'anyone' WHEN 'sighup' THEN 'reload' ELSE context END
FROM pg_settings WHERE name LIKE 'rag.%' ORDER BY name
"""


class Checker:
    def __init__(self, psql, write):
        self.psql, self.write = [psql, "-X", "-q", "-v", "VERBOSITY=verbose"], write
        self.problems, self.examples = [], 0
        self.url = stand_in.start()

    def rows(self, database, sql):
        command = [*self.psql, "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"docs result: reference FAILED. {result.stderr.strip()}")
        return [line.split("\t") for line in result.stdout.splitlines()]

    def problem(self, place, text):
        self.problems.append(f"{place}: {text}")

    def database(self, name):
        self.rows("postgres", f"DROP DATABASE IF EXISTS {name}")
        self.rows("postgres", f"CREATE DATABASE {name}")


class Page:
    """A page as lines, with its sections and blocks."""

    def __init__(self, path):
        self.path, self.lines = path, path.read_text().splitlines()
        self.blocks = self.find_blocks()

    def find_blocks(self):
        """Returns (tag, first line, line after the last) of each fenced block, without the fences."""
        blocks, begin = [], None
        for number, line in enumerate(self.lines):
            if FENCE.match(line):
                if begin is None:
                    begin, tag = number + 1, line[3:].strip()
                else:
                    blocks.append((tag, begin, number))
                    begin = None
        return blocks

    def text(self, block):
        return "\n".join(self.lines[block[1] : block[2]])

    def examples(self):
        """Returns pairs of a block that is run and the block of output that follows it, or None."""
        for block, after in zip(self.blocks, [*self.blocks[1:], None]):
            if block[0] == "sql":
                follows = after and after[0] == "text" and not any(self.lines[block[2] + 1 : after[1] - 1])
                yield block, after if follows else None

    def sections(self):
        """Returns (names of objects, line of the heading, line after the section)."""
        heads = [(number, line) for number, line in enumerate(self.lines) if re.match(r"##+ ", line)]
        heads = [(number, line) for number, line in heads if not self.fenced(number)]
        for (number, line), (end, _) in zip(heads, [*heads[1:], (len(self.lines), "")]):
            if names := re.findall(r"\brag\.(\w+)", line):
                yield names, number, end

    def prose(self, begin, end):
        """Returns (number, line) of the lines outside fenced blocks."""
        return [(number, self.lines[number]) for number in range(begin, end) if not self.fenced(number)]

    def fenced(self, number):
        return any(begin <= number < end for _, begin, end in self.blocks)

    def replace(self, changes):
        """Replaces ranges of lines by texts. changes: (begin, end, text)"""
        for begin, end, text in sorted(changes, key=lambda it: -it[0]):
            self.lines[begin:end] = text.splitlines()
        self.path.write_text("\n".join(self.lines) + "\n")
        self.blocks = self.find_blocks()


def plain(signature):
    for long, short in SHORT.items():
        signature = re.sub(rf"\b{long}\b", short, signature)
    return re.sub(r"(DEFAULT ('[^']*'|\S+?))::[a-z0-9 ]+(\[\])?(?=[,)])", r"\1", signature)


def is_function(entry):
    return f"rag.{entry[0]}(" in entry[1]


def signature_lines(entries):
    """Returns a function with its arguments and planner properties, or a view with its columns and their comments."""
    lines = []
    for name, signature, about, _ in entries:
        if is_function((name, signature)):
            lines += WRAPPER.wrap(plain(signature))
            lines.append(f"    -- {about}")
        else:
            lines += [f"rag.{name}", *("    " + plain(column) for column in signature.split("\x01"))]
    return "\n".join(lines)


def defaults(entries):
    """Returns the default of each argument; "" if it has none, or one that the page describes in words."""
    found = {}
    for entry in filter(is_function, entries):
        for argument in filter(None, entry[3].split("\x01")):
            name, _, default = argument.partition(" ")
            default = re.sub(r"::[a-z0-9 ]+(\[\])?$", "", default)
            found[name] = "" if default in ("NULL", "'{}'") else default
    return found


def squeezed(text):
    return re.sub(r"\s+", " ", text).strip()


def check_objects(checker, pages):
    catalogue = {}
    for name, *rest in checker.rows("reference", FUNCTIONS) + checker.rows("reference", RELATIONS):
        catalogue.setdefault(name, []).append((name, *rest))
    documented = {}
    for page in pages:
        for names, begin, end in page.sections():
            documented |= dict.fromkeys(names, said(page, begin, end))
    for page in pages:
        changes = []
        for names, begin, end in page.sections():
            known = [catalogue[name] for name in names if name in catalogue]
            for name in names:
                if name not in catalogue:
                    checker.problem(f"{page.path.name}:{begin + 1}", f"rag.{name} is not in the extension")
            entries = [entry for entries in known for entry in entries]
            changes += check_section(checker, page, begin, end, entries)
            changes += check_arguments(checker, page, begin, end, defaults(entries), documented)
        if changes:
            page.replace(changes)
    for name in sorted(catalogue.keys() - documented.keys()):
        checker.problem("reference", f"rag.{name} is missing")
    return catalogue


def check_section(checker, page, begin, end, entries):
    place, wanted = f"{page.path.name}:{begin + 1}", signature_lines(entries)
    signatures = [block for block in page.blocks if block[0] == "sql signature" and begin < block[1] < end]
    changes = []
    if len(signatures) != 1:
        checker.problem(place, "has not one block with its signature")
        if checker.write:
            changes.append((begin + 1, begin + 1, f"\n```sql signature\n{wanted}\n```"))
    elif squeezed(page.text(signatures[0])) != squeezed(wanted):
        checker.problem(place, f"the signature is\n{wanted}")
        if checker.write:
            changes.append((signatures[0][1], signatures[0][2], wanted))
    prose = "\n".join(line for _, line in page.prose(begin, end))
    for word in ("Errors", "Cost") if any(map(is_function, entries)) else ():
        if f"**{word}**" not in prose:
            checker.problem(place, f"has no **{word}**")
    return changes


def said(page, begin, end):
    """Returns the arguments that a section describes: in the first column of a table, or in backquotes."""
    lines = [line for _, line in page.prose(begin, end)]
    cells = [row[1] for row in map(ROW.match, lines) if row]
    return {word for text in cells + re.findall(r"`(\w+)`", "\n".join(lines)) for word in re.findall(r"\w+", text)}


def check_arguments(checker, page, begin, end, actual, documented):
    changes, known = [], said(page, begin, end)
    for number, line in page.prose(begin, end):
        if line.startswith("**Arguments**"):
            known = known.union(*(documented.get(name, set()) for name in re.findall(r"\brag\.(\w+)", line)))
        row = ROW.match(line)
        wanted = {actual[name] for name in re.findall(r"\w+", row[1]) if actual.get(name)} if row else set()
        for default in wanted - {row and row[2].strip("` ")}:
            checker.problem(f"{page.path.name}:{number + 1}", f"the default of {row[1]} is {default}")
            if checker.write and len(wanted) == 1:
                changes.append((number, number + 1, f"| {row[1]} | `{default}` |{line[row.end() :]}"))
    for argument in sorted(actual.keys() - known):
        checker.problem(f"{page.path.name}:{begin + 1}", f"says nothing of the argument {argument}")
    return changes


def check_examples(checker, pages, catalogue):
    shown = ""
    for page in pages:
        database = "reference_" + page.path.stem
        checker.database(database)
        blocks = list(page.examples())
        if page.path.name != "index.md":
            script = ["\n".join(pages[0].text(block) for block, _ in pages[0].examples())]
        else:
            script = [""]
        script += [page.text(block) for block, _ in blocks]
        outputs = run_page(checker, database, script)
        changes = []
        if "ERROR:" in outputs[0]:
            checker.problem(page.path.name, f"the tables of index.md are not made: {outputs[0]}")
        for (block, expected), output in zip(blocks, outputs[1:]):
            checker.examples += 1
            place = f"{page.path.name}:{block[1]}"
            wanted = page.text(expected) if expected else ""
            shown += page.text(block) + "\n" if expected else ""
            if matches(wanted, output):
                continue
            checker.problem(place, f"the output is\n{output}\nand not\n{wanted}")
            if checker.write and output and expected:
                changes.append((expected[1], expected[2], output))
            elif checker.write and output:
                changes.append((block[2] + 1, block[2] + 1, f"\n```text\n{output}\n```"))
        if changes:
            page.replace(changes)
        checker.rows("postgres", f"DROP DATABASE {database}")
    for name, entries in sorted(catalogue.items()):
        if not re.search(rf"\brag\.{name}\b", shown):
            checker.problem("reference", f"rag.{name} has no example whose output is checked")


def run_page(checker, database, scripts):
    """Returns the output of each script; the scripts run in one session, in order."""
    mark = "@@@ next example"
    text = f"\\pset footer off\n\\echo '{mark}'\n" + f"\n\\echo '{mark}'\n".join(scripts) + "\n"
    command = [*checker.psql, "-v", f"url={checker.url}", "-d", database]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    result = subprocess.run(command, check=False, input=text, timeout=300, **pipes)
    outputs = result.stdout.split(mark + "\n")[1:]
    outputs = [clean(output) for output in outputs]
    return outputs + ["the session has ended"] * (len(scripts) - len(outputs))


def clean(output):
    lines = [line.rstrip() for line in output.splitlines()]
    # The superuser of a test server has the name of the user that has started it.
    lines = [re.sub(rf"\b{os.environ.get('PGUSER', 'postgres')}\b", "postgres", line) for line in lines]
    lines = [line for line in lines if not re.match(r"(LOCATION|LINE \d+|CONTEXT|\s*\^$)", line)]
    return re.sub(r"(NOTICE|WARNING):  00000: ", r"\1:  ", "\n".join(lines)).strip("\n")


def matches(expected, output):
    """Returns whether the output is as expected; widths of columns are ignored, and … matches anything."""

    def simple(text):
        lines = [re.sub(r"-{2,}", "-", re.sub(r" +", " ", line)).strip() for line in text.splitlines()]
        return "\n".join(line for line in lines if line)

    parts = [re.escape(part) for part in simple(expected).split("…")]
    return re.fullmatch(".*?".join(parts), simple(output), re.DOTALL) is not None


def check_settings(checker, pages):
    page = next(page for page in pages if page.path.name == "settings.md")
    lines = [line.strip("|").split("|") for line in page.lines if line.startswith("| rag.")]
    rows = [[cell.strip().strip("`") for cell in line] for line in lines]
    documented = {row[0]: row for row in rows}
    actual = {row[0]: row for row in checker.rows("reference", SETTINGS)}
    for name in sorted(actual.keys() | documented.keys()):
        if name not in documented or name not in actual:
            checker.problem("settings.md", f"{name} is in the {'server' if name in actual else 'page'} alone")
            continue
        _, default, context = actual[name]
        if documented[name][1] != (default or "none") or documented[name][2] != context:
            checker.problem("settings.md", f"{name} has the default {default or 'none'} and is set by {context}")
    return len(actual)


def check_errors(checker, pages, errcodes):
    codes = {
        name: code for code, name in re.findall(r"^(\w{5})\s+[EWS]\s+(ERRCODE_\w+)", errcodes.read_text(), re.MULTILINE)
    }
    source = "\n".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.rs")))
    raised = {codes[name] for name in set(re.findall(r"PgSqlErrorCode::(ERRCODE_\w+)", source)) if name in codes}
    page = next(page for page in pages if page.path.name == "errors.md")
    listed = {code for line in page.lines for code in re.findall(r"^\| ([0-9A-Z]{5}) \|", line)}
    for code in sorted(raised - listed - UNLISTED):
        checker.problem("errors.md", f"{code} is missing, which the code raises")
    for other in pages:
        prose = "\n".join(line for line in other.lines if "**Errors**" in line)
        for code in sorted(set(CODE.findall(prose)) - listed):
            checker.problem(other.path.name, f"{code} is not on the page of errors")
    return len(listed)


def main(arguments):
    write = "--write" in arguments
    psql, errcodes, *only = [argument for argument in arguments if argument != "--write"]
    checker = Checker(psql, write)
    paths = sorted(PAGES.glob("*.md"), key=lambda path: (path.name != "index.md", path.name))
    pages = [Page(path) for path in paths]
    checker.database("reference")
    checker.rows("reference", "CREATE EXTENSION ragstone CASCADE")
    catalogue = check_objects(checker, pages)
    settings = check_settings(checker, pages)
    errors = check_errors(checker, pages, Path(errcodes))
    checker.rows("postgres", "DROP DATABASE reference")
    chosen = [page for page in pages if not only or page.path.stem in ("index", *only)]
    check_examples(checker, chosen, {} if only else catalogue)
    for problem in checker.problems:
        print(problem)
    print(
        f"docs result: reference {'FAILED' if checker.problems else 'ok'}. {len(catalogue)} functions and views, "
        f"{settings} settings, {errors} SQLSTATEs, {checker.examples} examples; {len(checker.problems)} problems"
    )
    return bool(checker.problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
