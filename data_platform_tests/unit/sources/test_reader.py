"""One file at a time: what is a record, what its text is, and what happens to a file that cannot be trusted."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from data_platform.errors import SourceError
from data_platform.sources import reader as reader_module
from data_platform.sources import reader_records
from data_platform_tests.unit.sources.reading import HEADER, Reader


def test_csv_values_keep_their_text_and_an_empty_value_is_no_null(reader: Reader) -> None:
    found = reader.csv(b'1,a,1.10\n2,"b, ""c""",\n')
    assert found.rows == [("1", "a", "1.10", None), ("2", 'b, "c"', "", None)]
    assert found.read.records == 2
    assert found.read.is_fast


def test_both_paths_of_csv_give_the_same_text(reader: Reader) -> None:
    body = b'1,a,1.10\n2,"b, ""c""",\n3, x ,"y"\n4,"5"" pipe",7" pipe\n'
    fast, careful = reader.csv(body), reader.csv(body + b"5,x\n")
    assert fast.read.is_fast
    assert not careful.read.is_fast
    assert careful.rows == fast.rows


def test_columns_are_matched_by_name_in_any_order(reader: Reader) -> None:
    assert reader.csv(b"7.5,1,a\n", b"amount,thing_id,Label text\n").rows == [("1", "a", "7.5", None)]


def test_an_extra_column_is_kept_as_json(reader: Reader) -> None:
    for body in (b'1,a,2,"x ""y"""\n', b'1,a,2,"x ""y"""\n2\n'):
        found = reader.csv(body, b"thing_id,Label text,amount,colour\n")
        assert found.rows == [("1", "a", "2", None)]
        assert json.loads(found.extra[0] or "") == {"colour": 'x "y"'}
        assert found.read.extra_columns == ("colour",)


def test_an_optional_column_may_be_there(reader: Reader) -> None:
    assert reader.csv(b"1,a,2,hello\n", b"thing_id,Label text,amount,note\n").rows == [("1", "a", "2", "hello")]


def test_a_missing_required_column_names_file_column_and_near_name(reader: Reader) -> None:
    file = reader.write(b"thing_id,Label text,amuont\n1,a,2\n")
    with pytest.raises(SourceError, match=rf"`{file}` lacks the required column `amount`\. Did you mean `amuont`\?"):
        reader.read(file)


def test_a_column_named_twice_is_an_error(reader: Reader) -> None:
    with pytest.raises(SourceError, match="names the column `amount` twice"):
        reader.csv(b"1,a,2,3\n", b"thing_id,Label text,amount,amount\n")


def test_header_only_is_no_records(reader: Reader) -> None:
    assert reader.csv(b"").read.records == 0
    assert reader.csv(b"", HEADER.rstrip(b"\n")).read.records == 0
    assert reader.read(reader.write(b"\n", "jsonl")).read.records == 0


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_zero_bytes_are_an_error(reader: Reader, extension: str) -> None:
    file = reader.write(b"", extension)
    with pytest.raises(SourceError, match=f"`{file}` has zero bytes"):
        reader.read(file)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (gzip.compress(HEADER + b"1,a,2\n", mtime=0), "a gzip file"),
        (b"PK\x03\x04" + bytes(100), "a zip or Excel file"),
        ((HEADER + b"1,a,2\n").decode().encode("utf-16"), "UTF-16"),
        (bytes(range(256)) * 40, "a binary file"),
    ],
)
@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_a_binary_file_under_a_text_name_is_an_error(reader: Reader, data: bytes, kind: str, extension: str) -> None:
    file = reader.write(data if kind != "a binary file" else bytes(50) + data, extension)
    with pytest.raises(SourceError, match=f"`{file}` is {kind}"):
        reader.read(file)


def test_a_missing_file_a_folder_and_a_pipe_are_errors(reader: Reader) -> None:
    with pytest.raises(SourceError, match=r"`no\.csv` is not there"):
        reader.read("no.csv")
    (reader.landing / "folder.csv").mkdir()
    os.mkfifo(reader.landing / "pipe.csv")
    for name in ("folder.csv", "pipe.csv"):
        with pytest.raises(SourceError, match=f"`{name}` is no plain file"):
            reader.read(name)


def test_an_unreadable_file_is_an_error(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    file = reader.write(HEADER)
    if os.geteuid() != 0:
        (reader.landing / file).chmod(0)
    else:  # root may read everything
        monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(SourceError, match=f"`{file}` cannot be read: Permission denied"):
        reader.read(file)


@pytest.mark.parametrize("change", ["append", "replace", "same_size"])
def test_a_file_that_changes_while_it_is_read_is_an_error(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    file = reader.write(HEADER + b"1,a,2\n")
    path, before = reader.landing / file, (reader.landing / file).stat()
    scan = reader_module.scan

    def scan_then_change(*args: object) -> object:
        found = scan(*args)  # type: ignore[arg-type]
        if change == "append":
            with path.open("ab") as more:
                more.write(b"2,b,3\n")
        elif change == "replace":
            path.with_suffix(".new").write_bytes(path.read_bytes())
            os.utime(path.with_suffix(".new"), ns=(before.st_atime_ns, before.st_mtime_ns))
            path.with_suffix(".new").replace(path)
        else:
            path.write_bytes(HEADER + b"1,b,2\n")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return found

    monkeypatch.setattr(reader_module, "scan", scan_then_change)
    with pytest.raises(SourceError, match=f"`{file}` changed while it was read") as error:
        reader.read(file)
    assert len(error.value.file_hash) == 64


def test_a_byte_order_mark_and_crlf_are_tolerated(reader: Reader) -> None:
    found = reader.read(reader.write(b"\xef\xbb\xbf" + HEADER.replace(b"\n", b"\r\n") + b"1,a,2\r\n2,b,3\r\n"))
    assert found.rows == [("1", "a", "2", None), ("2", "b", "3", None)]
    assert found.read.is_fast


def test_mixed_line_ends_and_blank_lines_are_read(reader: Reader) -> None:
    assert reader.csv(b"1,a,2\r\n\n2,b,3\n\r\n\n").rows == [("1", "a", "2", None), ("2", "b", "3", None)]


def test_a_last_line_without_line_end_is_a_record(reader: Reader) -> None:
    found = reader.csv(b"1,a,2\n2,b,3")
    assert found.rows == [("1", "a", "2", None), ("2", "b", "3", None)]
    assert found.read.is_fast


@pytest.mark.parametrize("tail", [b"2,b", b'2,"b', b'2,"b\nc', b"2,b,\xc3"])
def test_a_csv_file_that_ends_in_the_middle_of_a_record_is_cut_off(reader: Reader, tail: bytes) -> None:
    file = reader.write(HEADER + b"1,a,2\n" + tail)
    offset = len(HEADER) + 6 + tail.rfind(b"\n") + 1
    with pytest.raises(
        SourceError, match=rf"`{file}` seems cut off: its last record \(byte {offset}\) is incomplete"
    ) as error:
        reader.read(file)
    assert error.value.records >= 1


def test_a_json_lines_file_that_ends_in_the_middle_of_a_record_is_cut_off(reader: Reader) -> None:
    file = reader.write(b'{"thing_id": "1"}\n{"thing_id": "2', "jsonl")
    with pytest.raises(SourceError, match=r"seems cut off: its last record \(byte 18\) is incomplete") as error:
        reader.read(file)
    assert error.value.records == 1


@pytest.mark.parametrize(
    ("bad", "defect"),
    [
        (b"2,caf\xe9,3", "invalid UTF-8 at byte 38"),
        (b"2,b", "2 values where the header has 3"),
        (b"2,b,3,4", "4 values where the header has 3"),
        (b"2,b,3,", "4 values where the header has 3"),
        (b'2,"b,3', "unterminated quote"),
        (b'2,"b"c,3', "text after a closing quote"),
        (b"2,b\rc,3", "bare carriage return"),
        (b"2,b\0c,3", "NUL byte at byte 36"),
    ],
)
def test_a_bad_csv_record_is_set_aside_with_its_bytes_and_its_neighbours_are_unharmed(
    reader: Reader, bad: bytes, defect: str
) -> None:
    found = reader.csv(b"1,a,2\n" + bad + b'\n3,"c\nd",4\n4,e,""\n')
    assert found.rows == [("1", "a", "2", None), ("3", "c\nd", "4", None), ("4", "e", "", None)]
    assert found.aside == [(2, len(HEADER) + 6, bad, defect)]
    assert found.read.records == 4
    assert found.read.set_aside == 1


def test_a_quoted_line_feed_is_part_of_one_record(reader: Reader) -> None:
    found = reader.csv(b'1,"a\r\nb\n\nc",2\n2,"b\rc",3\n')
    assert found.rows == [("1", "a\r\nb\n\nc", "2", None), ("2", "b\rc", "3", None)]


def test_an_unterminated_quote_does_not_swallow_a_large_file(reader: Reader) -> None:
    rows = [f"{number},x,1" for number in range(3000)]
    lines = list(rows)
    lines[10] = '10,"x,1'
    found = reader.csv("\n".join(lines).encode() + b"\n")
    assert [row[0] for row in found.rows] == [str(number) for number in range(3000) if number != 10]
    assert [bad[2] for bad in found.aside] == [b'10,"x,1']


def test_a_ragged_record_of_several_lines_is_set_aside_whole(reader: Reader) -> None:
    found = reader.csv(b'1,"a\nb",2,3\n2,b,3\n')
    assert found.rows == [("2", "b", "3", None)]
    assert found.aside[0][2:] == (b'1,"a\nb",2,3', "4 values where the header has 3")


def test_an_unterminated_quote_spares_a_record_whose_own_quote_would_end_it(reader: Reader) -> None:
    found = reader.csv(b'1,"a,2\n,,",b"\n2,"c,3\n3,x,y\n4,d,"\ne"\n')
    assert found.rows == [("", "", ",b", None), ("3", "x", "y", None), ("4", "d", "\ne", None)]
    assert [bad[2] for bad in found.aside] == [b'1,"a,2', b'2,"c,3']


def test_the_rest_of_a_broken_quote_is_not_taken_for_a_record(reader: Reader) -> None:
    found = reader.csv(b'1,"a\nb"x,c,d\n2,b,3\n')
    assert found.rows == [("2", "b", "3", None)]
    assert [bad[2] for bad in found.aside] == [b'1,"a', b'b"x,c,d']


def test_a_blank_before_a_quote_is_not_dropped(reader: Reader) -> None:
    assert reader.csv(b'1, "a","b" "c"\n2, "a",3\n').rows == [("2", ' "a"', "3", None)]


def test_another_delimiter_and_another_encoding(reader: Reader) -> None:
    header = HEADER.replace(b",", b";")
    found = reader.csv("1;café, crème;2\n".encode("latin-1"), header, delimiter=";", encoding="latin-1")
    assert found.rows == [("1", "café, crème", "2", None)]


def test_a_file_with_bare_carriage_returns_says_so(reader: Reader) -> None:
    with pytest.raises(SourceError, match="bare carriage return"):
        reader.csv(b"1,a,2\r", HEADER.replace(b"\n", b"\r"))


def test_a_file_name_that_looks_like_a_pattern_or_sql_is_read(reader: Reader) -> None:
    for name in ("[ab]*?.csv", "it's; DROP TABLE x --.csv"):
        assert reader.read(reader.write(HEADER + b"1,a,2\n", name=name)).rows == [("1", "a", "2", None)]


def test_json_numbers_keep_their_text_and_nested_values_stay_json(reader: Reader) -> None:
    lines = b'{"thing_id": "1", "Label text": {"a": [1.10, null, "\xc3\xa9"]}, "amount": 1.10}\n'
    lines += b'{"amount": 1e5, "thing_id": true, "Label text": null, "note": 12345678901234567890123}\n'
    found = reader.read(reader.write(lines, "jsonl"))
    assert found.rows == [
        ("1", '{"a":[1.10,null,"é"]}', "1.10", None),
        ("true", None, "1e5", "12345678901234567890123"),
    ]


def test_both_paths_of_json_lines_give_the_same_text(reader: Reader) -> None:
    lines = b'{"thing_id": "1", "amount": 1.10}\n{"thing_id": "\\"amount\\": 7", "amount": -0}\n{"thing_id":"1.50","amount":1E22}\n'
    fast, careful = reader.read(reader.write(lines, "jsonl")), reader.read(reader.write(lines + b"\n", "jsonl"))
    assert fast.read.is_fast
    assert not careful.read.is_fast
    assert [row[::2] for row in fast.rows] == [("1", "1.10"), ('"amount": 7', "-0"), ("1.50", "1E22")]
    assert careful.rows == fast.rows


@pytest.mark.parametrize(
    ("bad", "defect"),
    [
        (b'{"thing_id": "2"', "no JSON"),
        (b'["2"]', "no JSON object"),
        (b'{"thing_id": NaN}', "no JSON: `NaN`"),
        (b'{"thing_id": "2",}', "no JSON"),
        (b'{"thing_id": "1"}{"thing_id": "2"}', "no JSON"),
        (b'{"thing_id": "1", "thing_id": "2"}', "the field `thing_id` twice"),
        (b'{"thing_id": "\\ud800"}', "half of a surrogate pair"),
        (b'{"thing_id": "\xe9"}', "invalid UTF-8 at byte 14"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_a_bad_json_line_is_set_aside_with_its_bytes(reader: Reader, bad: bytes, defect: str) -> None:
    found = reader.read(reader.write(b'{"thing_id": "1"}\n' + bad + b'\n{"thing_id": "3"}\n', "jsonl"))
    assert [row[0] for row in found.rows] == ["1", "3"]
    assert found.aside[0][:3] == (2, 18, bad)
    assert found.aside[0][3].startswith(defect)


def test_unknown_json_fields_are_kept_and_a_required_one_that_is_nowhere_is_an_error(reader: Reader) -> None:
    found = reader.read(reader.write(b'{"thing_id": "1", "colour": {"r": 1.0}}\n{"thing_id": "2"}\n', "jsonl"))
    assert found.extra == ['{"colour":{"r":1.0}}', None]
    with pytest.raises(SourceError, match=r"lacks the required column `thing_id`\. Did you mean `thing_ids`\?"):
        reader.read(reader.write(b'{"thing_ids": "1"}\n', "jsonl"))


def test_parquet_values_become_text_and_extra_columns_are_kept(reader: Reader) -> None:
    path = reader.landing / "x.parquet"
    reader.con.execute(
        f"COPY (SELECT 13085.0::DOUBLE AS thing_id, 6.95::DOUBLE AS \"Label text\", DATE '2026-01-02' AS amount, "
        f"[1, 2] AS tags, TIMESTAMPTZ '2026-01-01 12:00:00+02' AS at) TO '{path}' (FORMAT parquet)"
    )
    found = reader.read("x.parquet")
    assert found.rows == [("13085.0", "6.95", "2026-01-02", None)]
    assert json.loads(found.extra[0] or "") == {"tags": "[1,2]", "at": "2026-01-01 10:00:00+00"}


def test_a_truncated_parquet_file_is_an_error(reader: Reader) -> None:
    path = reader.landing / "x.parquet"
    reader.con.execute(
        f"COPY (SELECT i AS thing_id, i AS \"Label text\", i AS amount FROM range(10000) t(i)) TO '{path}' (FORMAT parquet)"
    )
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"`x\.parquet` cannot be read as Parquet"):
        reader.read("x.parquet")


def test_a_parquet_file_without_a_required_column_is_an_error(reader: Reader) -> None:
    reader.con.execute(
        f"COPY (SELECT 1 AS thing_id, 2 AS label_text, 3 AS amount) TO '{reader.landing / 'x.parquet'}' (FORMAT parquet)"
    )
    with pytest.raises(
        SourceError, match=r"`x\.parquet` lacks the required column `Label text`\. Did you mean `label_text`\?"
    ):
        reader.read("x.parquet")


def test_a_value_of_megabytes_is_read(reader: Reader) -> None:
    large = "x," * (3 << 19)
    found = reader.csv(f'1,"{large}","a ""b"""\n2,b,3\n'.encode())
    assert found.rows == [("1", large, 'a "b"', None), ("2", "b", "3", None)]


def test_a_line_without_end_is_an_error_and_not_a_full_memory(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_records, "MAX_LINE", 1000)
    with pytest.raises(SourceError, match=r"has a line longer than .* at byte 33"):
        reader.csv(b"1,a,2\n" + b"x" * 2000 + b"\n")
