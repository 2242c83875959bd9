"""The content hash of a set of rows: the same for the same rows in any order, over columns by name.

Only SQL text is made here. Origin, load time and run are not among the columns a caller passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data_platform.lake.sql import ident, text, type_name

HASH_ALGORITHM = "md5-row-sum-2"
# Between values, and in the place of a NULL: control characters that text hardly ever has.
_BETWEEN, _NULL = "chr(31)", "chr(30)"
_NEVER_WITH_CONTROLS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "DATE",
    "TIME",
    "BOOLEAN",
)


def content_hash_sql(columns: Mapping[str, str], where: str = "true") -> str:
    """An aggregate expression (VARCHAR, 32 hex digits) over rows with these columns (name → DuckDB type), those alone for
    which `where` holds.

    Each row is written as text, column by column in order of name, so that NULL, an empty text and neighbouring values
    cannot be mistaken for each other; the md5 numbers of all rows are summed, which no order changes and which counts
    duplicates; names and types enter once. md5 and not hash(): the latter may change with the engine's version."""
    ordered = sorted(columns)
    schema = "\n".join(f"{name} {type_name(columns[name]).upper()}" for name in ordered)
    # One md5 per row: the engine computes an expression that stands twice once, and not md5_number_lower and _upper.
    number = f"md5_number({_row_text(ordered, columns)})"
    lower, upper = f"({number} >> 64)::UBIGINT", f"({number} & {(1 << 64) - 1}::UHUGEINT)::UBIGINT"
    only = f" FILTER (WHERE {where})" if where != "true" else ""
    sums = f"coalesce(sum({lower}){only}, 0)::VARCHAR, '/', coalesce(sum({upper}){only}, 0)::VARCHAR"
    return f"md5(concat({text(schema)}, '/', (count(*){only})::VARCHAR, '/', {sums}))"


def _row_text(ordered: Sequence[str], columns: Mapping[str, str]) -> str:
    """The values with a mark between them. A row in whose text one of the marks stands is written with lengths instead,
    which costs twice the time, and begins as no other row can."""
    values = [f"CAST(CAST({ident(name)} AS {columns[name]}) AS VARCHAR)" for name in ordered]
    if not values:
        return "''"
    plain = f"concat({f', {_BETWEEN}, '.join(f'coalesce({value}, {_NULL})' for value in values)})"
    doubtful = [
        value
        for name, value in zip(ordered, values, strict=True)
        if not columns[name].upper().startswith(_NEVER_WITH_CONTROLS)
    ]
    if not doubtful:
        return plain
    all_text = f"concat({', '.join(doubtful)})"
    lengths = ", ".join(f"coalesce(concat(length({value}), ':', {value}), '-')" for value in values)
    return (
        f"CASE WHEN contains({all_text}, {_BETWEEN}) OR contains({all_text}, {_NULL}) "
        f"THEN concat({_NULL}, {_NULL}, {lengths}) ELSE {plain} END"
    )
