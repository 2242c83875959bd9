"""A contract drafted from a sample file states what holds for it, and its modules are ready to be used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType

import duckdb
import pytest

from data_platform.contracts.model import REGISTRY, Contract
from data_platform.errors import UsageError
from data_platform.quality.compiler import compile_rules
from data_platform.quality.draft import Draft, DraftColumn, draft
from data_platform.quality.draft_text import contract_text, source_text
from data_platform.quality.profile import facts, open_sample, shape_pattern
from data_platform.settings import PROJECT_ROOT

ROWS = 120


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as found:
        yield found


def drafted(con: duckdb.DuckDBPyConnection, path: Path, table: str = "tickets") -> Draft:
    file = open_sample(con, path)
    return draft(con, file, facts(con, file), table, table, "a@example.com")


def by_name(made: Draft) -> dict[str, DraftColumn]:
    return {column.name: column for column in made.columns}


def tickets(path: Path, encoding: str = "utf-8") -> Path:
    states = ("open", "closed", "wanted")
    lines = ["Ticket No;Opened On;closed_at;state;Cost;minutes;zip;column;ratio;active;Customer E-Mail;phone;ref;city"]
    lines += [
        f"T-{n:05d};{1 + n % 28:02d}.0{1 + n % 9}.2025;{'' if n % 5 else '2025-03-01 10:00:00'};{states[n % 3]};{n}.{n % 90 + 10};"
        f"{n * 3};0{1000 + n};x{n % 60} y;{n / 7:.4f};{('yes', 'no')[n % 2]};u{n % 40}@ex.de;+49 30 {100000 + n};AB{n:03d}X;Köln {n % 40}"
        for n in range(ROWS)
    ]
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def loaded(made: Draft) -> Contract:
    """The contract of the drafted module, as importing it would register it."""
    module = sys.modules["drafted"] = ModuleType("drafted")  # pandera looks types up there
    try:
        exec(compile(contract_text(made), "drafted", "exec"), vars(module))
        found = REGISTRY[f"staging.{made.table}"]
        assert len(compile_rules(found)) == len(found.row_rules)
        return found
    finally:
        REGISTRY.pop(f"staging.{made.table}", None)
        del sys.modules["drafted"]


def is_clean(made: Draft, folder: Path) -> None:
    for name, text in (("contract.py", contract_text(made)), ("source.py", source_text(made))):
        (folder / name).write_text(text, encoding="utf-8")
        config = ["--config", str(PROJECT_ROOT / "pyproject.toml")]
        for command in (["check", "--no-cache"], ["format", "--check", "--diff", "--no-cache"]):
            ruff = [Path(sys.executable).parent / "ruff", *command, *config, str(folder / name)]
            done = subprocess.run(ruff, capture_output=True, text=True, check=False, cwd=PROJECT_ROOT)
            assert done.returncode == 0, done.stdout + done.stderr + text


def test_types_rules_key_and_personal_data_come_from_the_sample(con, tmp_path):
    made = drafted(con, tickets(tmp_path / "tickets.csv"))
    columns = by_name(made)
    assert {name: column.kind for name, column in columns.items()} == {
        "ticket_no": "VARCHAR", "opened_on": "DATE", "closed_at": "TIMESTAMP", "state": "VARCHAR", "cost": "DECIMAL(18,2)",
        "minutes": "BIGINT", "zip": "VARCHAR", "column_": "VARCHAR", "ratio": "DOUBLE", "active": "BOOLEAN",
        "customer_e_mail": "VARCHAR", "phone": "VARCHAR", "ref": "VARCHAR", "city": "VARCHAR",
    }  # fmt: skip
    assert made.file.delimiter == ";" and made.key == ("ticket_no",) and made.also_unique == ("zip", "phone", "ref")
    assert made.event_time == "opened_on" and columns["opened_on"].format == "%d.%m.%Y"
    assert [name for name, column in columns.items() if column.nullable] == ["closed_at"]
    pii = {name: column.pii for name, column in columns.items() if column.pii}
    assert pii == {"customer_e_mail": "email", "zip": "address", "phone": "phone"}
    assert columns["ticket_no"].checks == (("str_matches", r"^T-\d{5}$"),)
    assert columns["ref"].checks == (("str_matches", r"^AB\d{3}X$"),)
    assert columns["state"].checks == (("isin", ["closed", "open", "wanted"]),)
    assert columns["minutes"].checks == (("ge", 0),) and "0 to 357 in the sample" in columns["minutes"].notes
    found = loaded(made)
    assert found.columns["customer_e_mail"].source == "Customer E-Mail"
    assert {rule.name for rule in found.rules} >= {"cost.ge", "opened_on.late", "state.isin", "key"}
    is_clean(made, tmp_path)


def test_a_file_that_is_not_utf8_says_its_encoding(con, tmp_path):
    made = drafted(con, tickets(tmp_path / "tickets.csv", "cp1252"))
    assert made.file.encoding == "cp1252" and "Köln 1" in by_name(made)["city"].facts.values
    assert 'encoding="cp1252"' in source_text(made) and 'delimiter=";"' in source_text(made)
    is_clean(made, tmp_path)


def test_json_lines_and_parquet_are_drafted_alike(con, tmp_path):
    rows = [
        {"id": n, "full_name": f"Ann {n % 70}", "paidAmount": n + 0.5, "note": None, "iban": "DE89370400440532013000",
         "updated_at": f"2026-01-05T10:{n % 60:02d}:00Z"}
        for n in range(ROWS)
    ]  # fmt: skip
    lines, parquet = tmp_path / "accounts.jsonl", tmp_path / "accounts.parquet"
    lines.write_text("\n".join(json.dumps(row) for row in rows))
    con.execute(f"COPY (FROM read_json('{lines}', columns={{id: 'BIGINT', full_name: 'VARCHAR', paidAmount: 'DOUBLE', "
                f"note: 'VARCHAR', iban: 'VARCHAR', updated_at: 'TIMESTAMP'}})) TO '{parquet}' (FORMAT parquet)")  # fmt: skip
    for path in (lines, parquet):
        made = drafted(con, path, "accounts")
        kinds = {name: (column.kind, column.pii) for name, column in by_name(made).items()}
        assert kinds == {
            "id": ("BIGINT", None), "full_name": ("VARCHAR", "name"), "paid_amount": ("DECIMAL(18,2)", None),
            "note": ("VARCHAR", None), "iban": ("VARCHAR", "iban"), "updated_at": ("TIMESTAMP", None),
        }, path.name  # fmt: skip
        assert (made.key, made.scope, made.event_time) == (("id",), "partition", "updated_at")
        assert by_name(made)["note"].nullable and by_name(made)["note"].notes == ("empty in the sample",)
        assert f'"{path.suffix[1:]}"' in source_text(made)
        loaded(made)
        is_clean(made, tmp_path)


def test_some_dirt_does_not_hide_a_type_and_is_told(con, tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text("id,amount,n\n" + "".join(f"{n},{'n/a' if n == 7 else n},{n % 3}\n" for n in range(1, ROWS)))
    amount = by_name(drafted(con, path))["amount"]
    assert (amount.kind, amount.notes[-1]) == ("DECIMAL(18,2)", "1 of 119 texts are none")


def test_a_key_of_two_columns_is_found(con, tmp_path):
    path = tmp_path / "lines.csv"
    path.write_text("order_id,line_number,qty\n" + "".join(f"O{n // 3},{n % 3},1\n" for n in range(60)))
    assert drafted(con, path).key == ("order_id", "line_number")


def test_a_key_that_some_dirt_repeats_or_leaves_out_is_found_and_the_dirt_is_told(con, tmp_path):
    path = tmp_path / "repeated.csv"
    path.write_text("id,email\n" + "".join(f"{'' if n == 3 else max(n, 2)},u{n}@ex.de\n" for n in range(1, 201)))
    made = drafted(con, path)
    assert (made.key, made.also_unique) == (("id",), ("email",)) and not by_name(made)["id"].nullable
    assert by_name(made)["id"].notes[-1] == "2 of 200 rows have none, or one that another row has"
    path.write_text("id,email\n" + "".join(f"{n % 100},u{n}@ex.de\n" for n in range(200)))
    assert drafted(con, path).key == ()


def test_a_day_that_reads_in_two_ways_says_so(con, tmp_path):
    path = tmp_path / "days.csv"
    path.write_text("id,sent_on\n" + "".join(f"{n},0{n}/0{10 - n}/2026\n" for n in range(1, 10)))
    sent = by_name(drafted(con, path))["sent_on"]
    assert sent.format == "%d/%m/%Y" and sent.notes == ("reads with %m/%d/%Y as well: make sure",)


def test_a_decimal_comma_is_found(con, tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("id;price;ratio;list\n" + "".join(f"{n};{n},50;-{n},125;{n},{n + 1}x\n" for n in range(ROWS)))
    columns = by_name(made := drafted(con, path))
    assert {name: (column.kind, column.decimal) for name, column in columns.items()} == {
        "id": ("BIGINT", "."), "price": ("DECIMAL(18,2)", ","), "ratio": ("DOUBLE", ","), "list": ("VARCHAR", "."),
    }  # fmt: skip
    assert (columns["price"].facts.filled, columns["price"].checks) == (ROWS, (("ge", 0),))
    assert "-119.125 to -0.125 in the sample" in columns["ratio"].notes
    assert [found.decimal for found in loaded(made).columns.values()] == [".", ",", ",", "."]
    is_clean(made, tmp_path)


def test_records_that_cannot_be_read_and_texts_that_do_not_match_are_counted(con, tmp_path):
    path = tmp_path / "people.csv"
    lines = [f"{n},p{n}@ex.de" for n in range(200)] + ["200,nobody", "201,a@ex.de,too many", "202,a@ex.de,too many"]
    path.write_text("\n".join(["id,email", *lines]) + "\n")
    made = drafted(con, path)
    assert made.notes == ("2 records could not be read: a load sets them aside",)
    assert by_name(made)["email"].notes == ("1 of 201 texts are none",)


def test_a_draft_begins_with_the_first_day_that_has_a_file(con, tmp_path):
    file = open_sample(con, tickets(tmp_path / "tickets.csv"))
    made = draft(con, file, facts(con, file), "tickets", "tickets", "a@example.com", date(2026, 1, 5))
    assert loaded(made).partition.dimensions[0].start == date(2026, 1, 5)
    is_clean(made, tmp_path)


def test_a_header_of_values_is_told(con, tmp_path):
    path = tmp_path / "bare.csv"
    path.write_text("1,2026-01-05\n2,2026-01-06\n")
    assert "looks like values" in drafted(con, path).notes[0]


def test_a_table_with_too_many_rules_keeps_those_of_its_key(con, tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(
        ",".join(["id", *(f"c{n}" for n in range(60))]) + "\n" + "\n".join(",".join([str(n)] * 61) for n in range(5))
    )
    made = drafted(con, path)
    assert made.key == ("id",) and "rules were left out" in made.notes[0]
    assert len(compile_rules(loaded(made))) <= 62
    is_clean(made, tmp_path)


def test_awkward_names_are_given_a_plain_one_and_keep_their_source(con, tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text(
        'class,1st,arrival_date,"Größe (cm)",int,from_,Say ""hi""\n'.replace(',Say ""hi""', "") + "a,b,c,d,e,f\n"
    )
    made = drafted(con, path)
    assert [column.name for column in made.columns] == ["class_", "n_1st", "arrival_date", "grosse_cm", "int_", "from_"]
    assert made.partition == "landed_date"
    assert [column.source for column in loaded(made).columns.values()] == list(made.file.header)
    is_clean(made, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "x,y\n", "has no rows"), ("a.csv", "x,X\n1,2\n", "two columns named"), ("a.csv", "x,\n1,2\n", "column named"),
        ("a.xlsx", "x", "no kind"), ("a.parquet", "x", "cannot be read"), ("a.jsonl", "[1]\n", "no line that is a JSON object"),
        ("a.csv", ",".join(f"c{n}" for n in range(600)) + "\n", "600 columns"),
        ("a.csv", "_file\n1\n", "keep for themselves"), ("a.csv", "", "has no"),
        ("a.csv", "x,y\n\0,\1\n", "is not text"), ("a.csv", f"x,y\n{'z' * 3_000_000},1\n", "none of its records can be read"),
    ],
)  # fmt: skip
def test_a_sample_that_teaches_nothing_is_one_message(con, tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=said):
        drafted(con, tmp_path / name)


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (("C00000001", "C00000002"), r"C\d{8}"), (("AB-1", "AB-22"), r"AB-\d+"), (("DE", "FR"), "[A-Z]{2}"),
        (("a.1", "a.2"), r"a\.\d"), (("Ann", "Bobby"), None), (("same",), None), (("x 1", "y 2"), None), (("é1", "é2"), None),
    ],
)  # fmt: skip
def test_codes_of_one_shape_have_a_pattern(values, pattern):
    assert shape_pattern(values) == pattern
