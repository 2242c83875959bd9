"""`python -m data_platform_tests.defects` plants every kind of defect, and writes what was caught to docs/defects.md."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from data_platform.settings import PROJECT_ROOT
from data_platform_tests.defects.matrix import PLANTED_PAIRS, Matrix, build

PAGE = PROJECT_ROOT / "docs" / "defects.md"
HEAD = """# Defects: each kind, the rule meant for it, and what was caught

Written by `python -m data_platform_tests.defects`; a test holds that it is what the command writes today.

Each kind is planted singly, in rows whose other columns have unusual but valid texts, and {pairs:,} times with another
kind that concerns another column ({each} rows for each two kinds); {clean:,} rows are clean. The rows go into CSV files
and from there through the reader and the screening. `caught` means: with that rule and no other, and with that fate.
Of the pairs {pairs_caught:,} of {pairs:,} were caught with both rules named (a row that is set aside does not name its
flags), and {clean_caught:,} of the {clean:,} clean rows by any rule.

| kind | example | rule | fate | planted | caught | false alarms |
| --- | --- | --- | --- | ---: | ---: | ---: |
"""


def render(matrix: Matrix) -> str:
    """The page as Markdown."""
    wrong = {where for where, *_ in matrix.wrong()}
    pairs = {where for where, (names, _, _) in matrix.labelled.items() if len(names) == 2}
    head = HEAD.format(
        pairs=len(pairs), pairs_caught=len(pairs - wrong), each=PLANTED_PAIRS,
        clean=len(matrix.clean), clean_caught=len(wrong & set(matrix.clean)),
    )  # fmt: skip
    return head + "".join(
        f"| {line.kind} | {_shown(line.example)} | `{line.rule}` | {line.fate} "
        f"| {line.planted} | {line.caught} | {line.false_alarms} |\n"
        for line in matrix.lines()
    )


def _shown(text: str) -> str:
    if not text.strip():
        return "nothing" if not text else "blanks"
    short = text if len(text) <= 30 else f"{text[:30]}…"
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in short)
    return f"`{escaped}`".replace("|", "\\|")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(render(build(Path(folder) / "home")), "utf-8")
    sys.stderr.write(f"`{PAGE}` was written.\n")
