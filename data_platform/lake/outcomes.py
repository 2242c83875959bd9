"""What became of a load, in the words every layer shares. Plain data: no engine, no Dagster."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

Severity = Literal["error", "warn"]


@dataclass(frozen=True)
class RuleResult:
    """The verdict of one rule on one partition. `count` is rows that broke it, or 1 for a broken rule about the
    partition as a whole; `sample` is masked. With `in_inbox` rows that broke it wait in
    quarantine."""

    rule: str
    action: str
    passed: bool
    severity: Severity
    count: int
    expected: str
    actual: str
    sample: tuple[Mapping[str, object], ...] = ()
    about: Literal["rows", "partition"] = "rows"
    in_inbox: bool = False


def kept(results: Iterable[RuleResult]) -> dict[str, dict[str, object]]:
    """Verdicts as the ledger keeps them: by rule whether it passed, how many rows broke it, and of a rule about the
    partition what was found. A rule that is not among them was not judged."""
    return {
        result.rule: {"passed": result.passed, "severity": result.severity, "count": result.count}
        | ({"actual": result.actual} if result.about == "partition" else {})
        for result in results
    }


@dataclass(frozen=True)
class LoadRecord:
    """One row of `ops.loads`: one attempt to load one partition of one table. Counts are rows; those held and those
    discarded are within the quarantined. `measures` are numbers about the accepted rows, by name. `built_from` is the version of the lake that
    a mart's rows were read from; `stated` what the source itself says of the file, as far as it does: `rows`, `sums`,
    `sha256`, or the `error` with which its control `file` could not be read. `rules` are the verdicts, as `kept` makes
    them; none when nothing was judged. The ledger's reader leaves them out: `quality/verdicts.py` asks for them."""

    asset: str
    partition_key: str
    run_id: str
    outcome: Literal["committed", "failed"]
    rows_read: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0
    rows_merged: int = 0
    rows_flagged: int = 0
    rows_warned: int = 0
    rows_late: int = 0
    by_rule: Mapping[str, int] = field(default_factory=dict)
    contract_version: int = 1
    content_hash: str = ""
    hash_algorithm: str = ""
    event_min: datetime | None = None
    event_max: datetime | None = None
    business_days: tuple[date, ...] = ()
    source_files: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""
    started_at: datetime | None = None
    built_from: int | None = None
    rows_held: int = 0
    rows_discarded: int = 0
    measures: Mapping[str, float] = field(default_factory=dict)
    stated: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    load_id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class Outcome:
    """A load record with the verdicts behind it; what an asset reports for one partition."""

    load: LoadRecord
    rules: tuple[RuleResult, ...] = ()
    notes: Mapping[str, object] = field(default_factory=dict)

    @property
    def partition_key(self) -> str:
        return self.load.partition_key

    @property
    def committed(self) -> bool:
        return self.load.outcome == "committed"


def from_to(keys: Iterable[str]) -> str:
    """The options of `data-platform backfill` for the days of these partition keys; empty where they have none."""
    days = sorted(part[:10] for key in keys for part in key.split("|") if part[:4].isdigit())
    return f" --from {days[0]} --to {days[-1]}" if days else ""
