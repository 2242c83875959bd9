"""Laws of landing, for any text: a file that is landed as it is read gives what one that is spooled gives."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_platform.contracts.model import Contract
from data_platform.contracts.partitioning import by
from data_platform.lake.lake import Lake
from data_platform.settings import Settings
from data_platform.sources import landing
from data_platform.sources.declare import Feed
from data_platform.sources.load import load_raw
from data_platform_tests.unit.sources.loading import declare
from data_platform_tests.unit.sources.reading import HEADER, Things
from data_platform_tests.unit.sources.test_reader_laws import TEXTS

FEED = Feed("staging.things", "{key}.csv", "csv")
days = (str(date(2020, 1, 1) + timedelta(number)) for number in count())


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """One lake for all examples of this module; each example loads partitions of its own."""
    home: Path = tmp_path_factory.mktemp("landing")
    with pytest.MonkeyPatch.context() as patch:
        declare(
            patch,
            Contract("staging.things", Things, "a thing", "x@example.com", partition=by("arrival_date", "day")),
        )
        found = Lake(Settings(home=home))
        found.settings.landing_dir.mkdir(parents=True)
        yield found
        found.close()


def loaded(lake: Lake, data: bytes, large_bytes: int) -> tuple[Any, ...]:
    """What a load says of a file, and its rows in raw."""
    day = next(days)
    (lake.settings.landing_dir / f"{day}.csv").write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing, "LARGE_BYTES", large_bytes)
        (outcome,) = load_raw(lake, FEED, [day], "run")
    load = outcome.load
    with lake.connect(read_only=True) as con:
        rows = con.execute(
            "SELECT * EXCLUDE (_loaded_at, _run_id, _file, arrival_date) FROM lake.raw.things "
            f"WHERE arrival_date = DATE '{day}' ORDER BY _record"
        ).fetchall()
    assert not outcome.committed or load.rows_read == len(rows)
    said = load.error.partition("` ")[2]
    return load.outcome, load.rows_read, load.rows_accepted, load.rows_warned, load.content_hash, said, rows


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.lists(TEXTS, min_size=2, max_size=4), max_size=5),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONE]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_file_gives_the_same_rows_landed_as_spooled(
    lake: Lake, rows: list[list[str]], quoting: int, line_end: str
) -> None:
    out = io.StringIO()
    out.write(HEADER.decode().replace("\n", line_end))
    for row in rows:
        if quoting == csv.QUOTE_NONE:
            out.write(",".join(row) + line_end)
        else:
            csv.writer(out, lineterminator=line_end, quoting=quoting).writerow(row)  # type: ignore[arg-type]
    data = out.getvalue().encode()
    assert loaded(lake, data, 0) == loaded(lake, data, landing.LARGE_BYTES)
