"""Laws of reading, for any content: counts add up, bytes are kept, neighbours are unharmed, text survives."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data_platform.errors import SourceError
from data_platform.sources import reader_csv, reader_jsonl
from data_platform_tests.unit.sources.reading import COLUMNS, HEADER, Reader

SOURCE_COLUMNS = COLUMNS[:3]
LETTERS = st.sampled_from(["a", "1", ",", '"', " ", "\n", "\r\n", "\t", "é", "\\", "'", "#", "1.10", "\u2028", "😀"])
# Python's writer leaves a bare carriage return unquoted when lines end with a line feed, so no text has one alone.
TEXTS = st.one_of(
    st.lists(LETTERS, max_size=6).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8),
)
# A record with a line feed before a closing quote may be read as the end of another's unterminated quote; these have none.
LINES = st.lists(st.sampled_from(["a", "1", ",", " ", "é", "\\", "'", "7.50"]), max_size=5).map("".join)
DEFECTS = st.sampled_from(
    [
        b"x",
        b"x,y",
        b"x,y,z,w",
        b'x,"y,z',
        b'"x,y,z',
        b'x,"y"z,w',
        b"x,\xff,z",
        b"x,y\xc3,z",
        b"x,y\rz,w",
        b"x,\0,z",
        b'x,"y""',
    ]
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Reader]:
    """One reader for all examples of this module; each example writes files of its own."""
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Path(folder))
        yield reader
        reader.con.close()


def written(rows: list[tuple[str, ...]], line_end: str = "\n") -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator=line_end).writerows(rows)
    return out.getvalue().encode()


ROWS = st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=8)


@settings(max_examples=60)
@given(rows=ROWS, line_end=st.sampled_from(["\n", "\r\n"]))
def test_any_table_survives_csv(shared: Reader, rows: list[tuple[str, ...]], line_end: str) -> None:
    data = written([SOURCE_COLUMNS, *rows], line_end)
    assume(sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in data) <= 8)  # more would be a binary file
    found = shared.csv(data, b"")
    assert (
        [row[:3] for row in found.rows]
        == rows
        == [tuple(row) for row in csv.reader(io.StringIO(data.decode(), newline=""), strict=True)][1:]
    )
    assert found.read.records == len(rows)


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(*[st.none() | TEXTS] * 3), max_size=8), ensure_ascii=st.booleans())
def test_any_table_survives_json_lines(shared: Reader, rows: list[tuple[str | None, ...]], ensure_ascii: bool) -> None:
    rows = [("id", *row[1:]) for row in rows]
    lines = [json.dumps(dict(zip(SOURCE_COLUMNS, row, strict=True)), ensure_ascii=ensure_ascii) for row in rows]
    found = shared.read(shared.write("".join(f"{line}\n" for line in lines).encode() or b"\n", "jsonl"))
    assert [row[:3] for row in found.rows] == rows


@settings(max_examples=25)
@given(rows=st.lists(st.tuples(*[st.none() | TEXTS] * 3), max_size=8))
def test_any_table_survives_parquet(shared: Reader, rows: list[tuple[str | None, ...]]) -> None:
    file = shared.write(b"", "parquet")
    columns = [pa.array([row[place] for row in rows], pa.string()) for place in range(3)]
    pq.write_table(pa.table(columns, names=list(SOURCE_COLUMNS)), shared.landing / file)
    found = shared.read(file)
    assert [row[:3] for row in found.rows] == rows
    assert found.read.records == len(rows)


@settings(max_examples=40)
@given(value=st.floats(allow_nan=False))
def test_a_float_of_a_parquet_file_reads_back_the_same(shared: Reader, value: float) -> None:
    file = shared.write(b"", "parquet")
    pq.write_table(
        pa.table([["1"], ["a"], pa.array([value], pa.float64())], names=list(SOURCE_COLUMNS)), shared.landing / file
    )
    assert float(shared.read(file).rows[0][2]) == value


@settings(max_examples=100)
@given(planted=st.lists(st.one_of(st.tuples(LINES, LINES, LINES), DEFECTS), max_size=12))
def test_planted_defects_are_set_aside_alone_and_byte_for_byte(
    shared: Reader, planted: list[tuple[str, ...] | bytes]
) -> None:
    """Good records give what `csv.reader` gives; each bad one is kept as it stood, where it stood; all are counted."""
    pieces = [item if isinstance(item, bytes) else written([item]).removesuffix(b"\n") for item in planted]
    data = HEADER + b"".join(piece + b"\n" for piece in pieces)
    found = shared.csv(data, b"")
    good = [item for item in planted if not isinstance(item, bytes)]
    bad = [item for item in planted if isinstance(item, bytes)]
    assert [row[:3] for row in found.rows] == good
    assert [raw for _, _, raw, _ in found.aside] == bad
    assert found.read.records == len(planted) == len(found.rows) + found.read.set_aside
    for number, offset, raw, _ in found.aside:
        assert data[offset : offset + len(raw)] == raw
        assert planted[number - 1] == raw


@settings(max_examples=60)
@given(body=st.lists(st.one_of(LETTERS, st.sampled_from([",", ",", "\n", '"', '""'])), max_size=40).map("".join))
def test_no_byte_of_any_text_is_lost(shared: Reader, body: str) -> None:
    """Whatever the text: the values and bytes that come out, with their delimiters and quotes, are what went in."""
    data = HEADER + body.encode() + b"\n"
    found = shared.csv(data, b"")
    assert found.read.records == len(found.rows) + len(found.aside)
    kept = "".join("".join(row[:3]) for row in found.rows) + "".join(raw.decode() for _, _, raw, _ in found.aside)
    for letter in set(body) - set('",\r\n'):
        assert kept.count(letter) == body.count(letter), letter


@settings(max_examples=80)
@given(
    rows=st.lists(st.lists(TEXTS, min_size=2, max_size=4), max_size=5),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONE]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_fast_path_of_csv_believes_is_what_the_careful_one_reads(
    shared: Reader, rows: list[list[str]], quoting: int, line_end: str
) -> None:
    out = io.StringIO()
    out.write(HEADER.decode().replace("\n", line_end))
    for row in rows:
        if quoting == csv.QUOTE_NONE:
            out.write(",".join(row) + line_end)
        else:
            csv.writer(out, lineterminator=line_end, quoting=quoting).writerow(row)  # type: ignore[arg-type]
    assert_both_paths_agree(shared, out.getvalue().encode(), "csv")


NUMBERS = st.sampled_from(
    [
        "1",
        "-0",
        "1.10",
        "1e5",
        "1E22",
        "9007199254740993.0",
        "0.30000000000000001",
        "12345678901234567890123",
        "01",
        "NaN",
        "-Infinity",
    ]
)
STRINGS = st.sampled_from(
    [
        '"x"',
        '""',
        '"1.10"',
        '"\\"amount\\":1.10"',
        '":5"',
        '"\\":5"',
        '":1.50,"',
        '"\\u0041"',
        '"\\ud800"',
        '"é"',
        '"{"',
        '"\t"',
    ]
)
VALUES = st.one_of(NUMBERS, STRINGS, st.sampled_from(["null", "true", "[1.10]", '{"amount": 1.10}']))
FIELDS = st.sampled_from(["thing_id", "thing_id", "Label text", "amount", "amount", "colour", "\\u0061mount"])
OBJECTS = st.lists(st.tuples(FIELDS, st.sampled_from(["", " "]), VALUES), min_size=1, max_size=4).map(
    lambda pairs: "{" + ",".join(f'"{name}"{gap}:{gap}{value}' for name, gap, value in pairs) + "}"
)


@settings(max_examples=80)
@given(
    lines=st.lists(
        st.one_of(OBJECTS, OBJECTS, st.sampled_from(["", "[]", "{}", "{", '{"amount":1,}', "null"])),
        min_size=1,
        max_size=3,
    )
)
def test_what_the_fast_path_of_json_lines_believes_is_what_the_careful_one_reads(
    shared: Reader, lines: list[str]
) -> None:
    data = '{"thing_id":"0","Label text":"","amount":null}\n' + "".join(f"{line}\n" for line in lines)
    assert_both_paths_agree(shared, data.encode(), "jsonl")


def assert_both_paths_agree(shared: Reader, data: bytes, extension: str) -> None:
    module = reader_csv if extension == "csv" else reader_jsonl
    results = []
    for path in ("fast", "careful", *(["in place"] if extension == "csv" else [])):
        with pytest.MonkeyPatch.context() as patch:
            if path != "fast":
                patch.setattr(module, "read_fast", lambda *_: None)
            try:
                found = shared.read(shared.write(data, extension), in_place=path == "in place")
                results.append((found.rows, found.aside, found.extra, found.read.records))
            except SourceError as error:
                results.append(error.message.partition("` ")[2])  # type: ignore[arg-type]
    assert all(result == results[0] for result in results)
