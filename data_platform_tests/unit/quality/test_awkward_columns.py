"""Columns named as the screening's own helpers are screened like any other."""

from __future__ import annotations

from collections.abc import Iterator

import pandera.ibis as pa
import pytest

from data_platform.contracts.model import REGISTRY, Contract, Key, column, table
from data_platform.contracts.partitioning import by
from data_platform.quality import decide
from data_platform.quality.inbox import Pick
from data_platform.quality.screening import screen
from data_platform_tests.unit.quality.test_screening import DAY, NEXT, rows

NAMES = (
    "id",
    "reason",
    "fate",
    "kind",
    "record",
    "changes",
    "file_hash",
    "place",
    "rank",
    "stays",
    "keeps",
    "status",
    "rules",
)


@pytest.fixture(params=["partition", "table"])
def awkward(request: pytest.FixtureRequest) -> Iterator[Contract]:
    body = {name: column(description=name, nullable=name != "id") for name in NAMES}
    model = type(
        "Awkward", (pa.DataFrameModel,), {**body, "__doc__": "Rows.", "__annotations__": dict.fromkeys(NAMES, str)}
    )
    table(
        "staging.awkward", grain="one row per id", owner="a@example.com", partition=by("arrival_date", "day"),
        key=Key(("id",), scope=request.param),
    )(model)  # fmt: skip
    yield REGISTRY["staging.awkward"]
    del REGISTRY["staging.awkward"]


def test_duplicates_merge_and_decisions_are_applied(lake, land, awkward):
    plain = dict.fromkeys(NAMES, "x")
    land("awkward", DAY, [plain | {"id": "1"}, plain | {"id": "1"}, plain | {"id": "2"}, plain | {"id": None}])
    (outcome,) = screen(lake, awkward, [DAY], "run")
    assert outcome.committed, outcome.load.error
    assert (outcome.load.rows_accepted, outcome.load.rows_merged, outcome.load.by_rule) == (2, 1, {"id.not_null": 1})
    pick = Pick(awkward, rule="id.not_null")
    with lake.connect() as con:
        found = decide.propose(con, pick, decide.assignments(awkward, ["id = '3'", "reason = 'mended'"]))
        assert (found.changed, found.accepted) == (1, 1)
        decide.fix(lake, con, pick, {"id": "'3'"}, "it is three")
    (outcome,) = screen(lake, awkward, [DAY], "again")
    assert outcome.committed, outcome.load.error
    assert rows(lake, "SELECT id, reason FROM lake.staging.awkward WHERE id = '3'") == [("3", "mended")]
    land("awkward", NEXT, [plain | {"id": "1"}])
    (later,) = screen(lake, awkward, [NEXT], "run")
    assert later.load.rows_accepted == (1 if awkward.key.scope == "partition" else 0)


def test_what_was_loaded_again_while_it_was_judged_is_judged_again(
    lake, land, awkward, monkeypatch: pytest.MonkeyPatch
):
    from data_platform.quality import screening

    plain, commit, overtaken = dict.fromkeys(NAMES, "x"), screening._commit, []
    land("awkward", DAY, [plain | {"id": "1"}])

    def overtake(*arguments):
        if not overtaken:
            overtaken.append(True)
            land("awkward", DAY, [plain | {"id": "1"}, plain | {"id": "2"}])
        commit(*arguments)

    monkeypatch.setattr(screening, "_commit", overtake)
    (outcome,) = screen(lake, awkward, [DAY], "run")
    assert (outcome.load.rows_read, outcome.load.rows_accepted) == (2, 2)
