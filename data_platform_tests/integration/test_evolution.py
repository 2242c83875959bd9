"""The evolution matrix: each change of a feed under each policy has a stated outcome, and it holds.

A feed of ten records changes in one way; `CELLS` says, per policy, how many records are accepted and how many set aside, or
that nothing is committed and the old rows stay. Where the contract follows the change (widened, renamed, nullable …) it
is the new contract that loads the file, into the table that the old one made.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pandera.ibis as pa
import pytest
from pandera.engines.ibis_engine import Int32

from data_platform.contracts.model import REGISTRY, Contract, Drift, Key, column, table
from data_platform.contracts.partitioning import by
from data_platform.contracts.raw import raw_contract
from data_platform.errors import LakeError
from data_platform.lake.lake import Lake
from data_platform.quality.screening import screen
from data_platform.settings import load_settings
from data_platform.sources.declare import Feed
from data_platform.sources.load import load_raw

DAY = "2026-01-05"
ROWS = [
    {"id": str(n), "qty": str(n), "price": f"{n}.50", "day": f"2026-01-{n + 1:02}", "note": f"Ü{n}"} for n in range(10)
]
FAILS = "nothing is committed"
Cell = tuple[int, int] | str
Row = Mapping[str, Any]


def made(name: str, drift: Drift, version: int = 1, **changed: Any) -> Contract:
    """The contract of the feed; `changed` has other fields of the model, None for a column that is gone."""
    fields: dict[str, tuple[Any, Any]] = {
        "id": (int, column(description="Number")),
        "qty": (int, column(description="Units")),
        "price": (float, column(description="Price")),
        "day": (dt.date, column(description="Day")),
        "note": (str, column(description="Note")),
    } | changed
    stated = {name: found for name, found in fields.items() if found is not None}
    body = {name: spec for name, (_, spec) in stated.items()} | {"__doc__": "Rows.", "__qualname__": "Evolving"}
    body["__annotations__"] = {name: kind for name, (kind, _) in stated.items()}
    model = type("Evolving", (pa.DataFrameModel,), body)
    REGISTRY.pop(f"staging.{name}", None)
    table(
        f"staging.{name}", grain="one row per id", owner="a@example.com", partition=by("arrival_date", "day"), key=Key(("id",)),
        drift=drift, version=version, quarantine_limit=1.0,
    )(model)  # fmt: skip
    REGISTRY[f"raw.{name}"] = raw_contract(REGISTRY[f"staging.{name}"])
    return REGISTRY[f"staging.{name}"]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    known = set(REGISTRY)
    yield
    for name in set(REGISTRY) - known:
        del REGISTRY[name]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """One for all: each change under each policy has tables of its own."""
    found = Lake(load_settings(home=tmp_path_factory.mktemp("evolution"), threads=1))
    yield found
    found.close()


@dataclass(frozen=True)
class Change:
    """What changes: the records, the fields of the contract (before, and of the one that follows), the bytes, and what the
    feed declares of them; and the outcome by policy, in the order evolve, freeze, quarantine, fail."""

    cells: Sequence[Cell]
    rows: Sequence[Row] = tuple(ROWS)
    contract: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    feed: Mapping[str, Any] = field(default_factory=dict)
    form: str = "csv"
    encoding: str = "utf-8"
    extra: bool = False


def each(**changed: Any) -> list[Row]:
    """All records with a column changed by a function of its text."""
    return [row | {name: to(row[name]) for name, to in changed.items()} for row in ROWS]


def some(**changed: str) -> list[Row]:
    """Two of the ten records with other texts."""
    return [row | (changed if n in (3, 7) else {}) for n, row in enumerate(ROWS)]


ALL, NONE = (10, 0), (0, 10)
SMALL = {"qty": (Int32, column(description="Units"))}
NULLABLE = {"note": (str, column(description="Note", nullable=True))}
GERMAN = {"day": (dt.date, column(description="Day", format=("%Y-%m-%d", "%d.%m.%Y")))}
CELLS: Mapping[str, Change] = {
    "column added, in all records": Change((ALL, ALL, NONE, FAILS), [row | {"colour": "red"} for row in ROWS], extra=True),
    "column added, in two records": Change(
        (ALL, ALL, (8, 2), FAILS), [row | ({"colour": "red"} if n in (3, 7) else {}) for n, row in enumerate(ROWS)],
        form="jsonl", extra=True,
    ),
    "columns reordered": Change((ALL,) * 4, [dict(reversed(row.items())) for row in ROWS]),
    "column renamed, alias declared": Change(
        (ALL,) * 4, [{("units" if name == "qty" else name): value for name, value in row.items()} for row in ROWS],
        {"qty": (int, column(description="Units", aliases=("units",)))},
    ),
    "column renamed, nobody told": Change(
        (FAILS,) * 4, [{("units" if name == "qty" else name): value for name, value in row.items()} for row in ROWS]
    ),
    "type widened, contract follows": Change((ALL,) * 4, each(qty=lambda text: text + "0" * 11), before=SMALL),
    "type clash in two records": Change(((8, 2), (8, 2), (8, 2), FAILS), some(qty="many")),
    "numbers narrowed to text that is none": Change((NONE, NONE, NONE, FAILS), each(qty=lambda text: f"{text} pcs")),
    "column dropped, required": Change((FAILS,) * 4, [{name: row[name] for name in ("id", "qty", "price", "day")} for row in ROWS]),
    "column dropped, contract follows": Change(
        (ALL,) * 4, [{name: row[name] for name in ("id", "qty", "price", "day")} for row in ROWS], {"note": None}
    ),
    "empty in two records": Change(((8, 2),) * 4, some(note="")),
    "empty in two records, now nullable": Change((ALL,) * 4, some(note=""), NULLABLE),
    "empty in two records, nullable no longer": Change(((8, 2),) * 4, some(note=""), before=NULLABLE),
    "date format changed, nobody told": Change((NONE, NONE, NONE, FAILS), each(day=lambda text: f"{text[8:]}.{text[5:7]}.{text[:4]}")),
    "date format changed, declared": Change((ALL,) * 4, each(day=lambda text: f"{text[8:]}.{text[5:7]}.{text[:4]}"), GERMAN),
    "decimal separator changed, nobody told": Change((NONE, NONE, NONE, FAILS), each(price=lambda text: text.replace(".", ",")), form="jsonl"),
    "decimal separator changed, declared": Change(
        (ALL,) * 4, each(price=lambda text: text.replace(".", ",")),
        {"price": (float, column(description="Price", decimal=","))}, form="jsonl",
    ),
    "encoding changed, nobody told": Change((NONE, NONE, NONE, FAILS), encoding="cp1252"),
    "encoding changed, declared": Change((ALL,) * 4, encoding="cp1252", feed={"encoding": "cp1252"}),
    "nested field added": Change((ALL, ALL, NONE, FAILS), [row | {"tags": {"a": [1, 2]}} for row in ROWS], form="jsonl", extra=True),
}  # fmt: skip


QUICK = ("column added, in two records", "type widened, contract follows", "date format changed, declared")
LONG = (pytest.mark.slow, pytest.mark.long)


def write(path: Path, change: Change) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if change.form == "jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in change.rows)
    else:
        lines = [list(change.rows[0]), *(list(row.values()) for row in change.rows)]
        text = "".join(",".join(f'"{value}"' if "," in value else value for value in line) + "\n" for line in lines)
    path.write_bytes(text.encode(change.encoding))


def load(lake: Lake, contract: Contract, change: Change) -> Cell:
    """What became of the change: (accepted, set aside), or `FAILS`."""
    feed = Feed(contract.name, f"{contract.table}/{{key}}.{change.form}", change.form, **change.feed)  # type: ignore[arg-type]
    write(lake.settings.landing_dir / feed.file(DAY), change)
    (raw,) = load_raw(lake, feed, [DAY], "run")
    if not raw.committed:
        return FAILS
    assert raw.load.rows_read == len(change.rows)
    (outcome,) = screen(lake, contract, [DAY], "run")
    found = outcome.load
    assert not outcome.committed or found.rows_read == found.rows_accepted + found.rows_quarantined + found.rows_merged
    return (found.rows_accepted, found.rows_quarantined) if outcome.committed else FAILS


def ids(lake: Lake, contract: Contract, where: str = "true") -> int:
    with lake.connect() as con:
        row = con.execute(f"SELECT count(*) FROM lake.{contract.name} WHERE {where}").fetchone()
    return int(row[0]) if row else 0


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=LONG) for name in CELLS])
def test_every_policy_has_its_stated_outcome(lake: Lake, name: str) -> None:
    change, number = CELLS[name], list(CELLS).index(name)
    for drift, expected in zip(get_args(Drift), change.cells, strict=True):
        table_of_its_own = f"evolving_{number}_{drift}"
        assert load(lake, made(table_of_its_own, drift, **change.before), Change((), form=change.form)) == ALL, (
            "the feed as it was"
        )
        contract = made(table_of_its_own, drift, 2, **change.contract)
        assert load(lake, contract, change) == expected, drift
        assert ids(lake, contract) == (10 if expected == FAILS else expected[0]), "what fails leaves the old rows"
        if drift == "evolve":
            unknown = sum("colour" in row or "tags" in row for row in change.rows) if change.extra else 0
            assert ids(lake, contract, "_extra IS NOT NULL") == unknown


def test_a_narrower_type_is_refused_and_changes_nothing(lake: Lake) -> None:
    contract = made("narrowed", "freeze")
    assert load(lake, contract, Change(())) == ALL
    with pytest.raises(LakeError, match="never narrowed"):
        load(lake, made("narrowed", "freeze", 2, qty=(Int32, column(description="Units"))), Change(()))
    assert ids(lake, contract) == 10
