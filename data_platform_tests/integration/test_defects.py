"""The defect matrix: every planted defect is caught by the rule meant for it and no other, and no clean row is caught."""

from __future__ import annotations

import pytest

from data_platform_tests.defects import kinds
from data_platform_tests.defects.__main__ import PAGE, render
from data_platform_tests.defects.matrix import PLANTED, Matrix, build


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return build(tmp_path_factory.mktemp("defects") / "home")


def test_every_record_has_the_fate_and_the_rules_meant_for_it(matrix):
    wrong = matrix.wrong()
    assert wrong[:10] == []


def test_each_kind_was_planted_often_enough_singly_and_in_pairs(matrix):
    assert {line.planted for line in matrix.lines()} == {PLANTED}
    assert len(matrix.lines()) >= 70
    paired = {name for names, _, _ in matrix.labelled.values() if len(names) == 2 for name in names}
    assert paired == {kind.name for kind in kinds.IN_COLUMNS}
    assert len({line.kind for line in matrix.lines()}) == len(kinds.IN_COLUMNS) + len(kinds.UNREADABLE) + 3


def test_each_valid_shape_of_each_column_was_among_the_clean_rows():
    rows = [kinds.clean_row(number, kinds.DAY) for number in range(2_000)]
    for column, shapes in kinds.VALID.items():
        assert {row[column] for row in rows} == set(shapes)


def test_each_record_has_one_fate(matrix):
    for day, (records, read, accepted, quarantined, merged) in matrix.laws.items():
        assert records == read == accepted + quarantined + merged, day
    judged = sum(law[0] for (table, _), law in matrix.laws.items() if table != "depots")
    assert judged == len(matrix.found)


def test_the_page_of_defects_is_what_the_command_writes_today(matrix):
    assert PAGE.read_text("utf-8") == render(matrix), "run: python -m data_platform_tests.defects"
