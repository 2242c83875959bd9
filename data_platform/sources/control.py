"""Reads what a source states of a drop file: its control totals. Comparing them is `quality/reconcile.py`'s."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from data_platform.sources.declare import Feed

Stated = Mapping[str, Any]
TOTALS = ("rows", "sums", "sha256")


def read_control(landing: Path, feed: Feed, key: str) -> Stated:
    """What the control file of a partition says, as JSON can hold it: `file`, and of `rows`, `sums` (texts by column) and
    `sha256` what is stated. `{}` for a feed without control files; `error` beside `file` says why one cannot be used."""
    file = feed.control_file(key)
    if file is None:
        return {}
    try:
        found = json.loads((landing / file).read_text(encoding="utf-8-sig"), parse_float=str, parse_int=str)
        return {"file": file, **_checked(found)}
    except FileNotFoundError:
        said = "was not there when the file was read"
    except OSError as error:
        said = f"cannot be read: {error.strerror}"
    except (ValueError, TypeError, InvalidOperation):
        said = f"is not what a control file is: an object with {', '.join(f'`{name}`' for name in TOTALS)}"
    return {"file": file, "error": said}


def _checked(found: Any) -> Stated:
    """The totals. Raises `ValueError`, `TypeError` or `InvalidOperation` for what is none."""
    if not isinstance(found, dict) or not set(found) <= set(TOTALS):
        raise ValueError
    stated: dict[str, Any] = {}
    if "rows" in found:
        stated["rows"] = int(found["rows"])
    if "sums" in found:
        sums = {column: Decimal(str(value)) for column, value in dict(found["sums"]).items()}
        if not all(value.is_finite() for value in sums.values()):
            raise ValueError
        stated["sums"] = {column: str(value) for column, value in sums.items()}
    if "sha256" in found:
        stated["sha256"] = str(found["sha256"]).lower()
    return stated
