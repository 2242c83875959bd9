"""The results' file: rows by group and part, with the commit and the machine that gave them. Merged, never replaced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import Row

FOLDER = Path(__file__).resolve().parent / "results"


class Results:
    """`results/latest.json`, or `quick.json`: {group: {part: {of, probe, took, rows}}}, where `of` tells commit, machine
    and repeats; a part is done when it has a result of the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.groups: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def has(self, group: str, part: str, of: dict[str, Any]) -> bool:
        return bool(self.groups.get(group, {}).get(part, {}).get("of") == of)

    def put(self, group: str, part: str, of: dict[str, Any], rows: Sequence[Row], **more: Any) -> None:
        """Keeps the rows of a part and writes the file at once: what is done stays done."""
        kept = [row.as_json() for row in rows]
        found = {"of": of, "at": datetime.now(UTC).isoformat(timespec="seconds"), **more, "rows": kept}
        self.groups.setdefault(group, {})[part] = found
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.groups, indent=1, ensure_ascii=False) + "\n")

    def rows(self, group: str) -> dict[str, list[Row]]:
        """The rows of each part of a group."""
        return {part: [Row(**row) for row in found["rows"]] for part, found in self.groups.get(group, {}).items()}
