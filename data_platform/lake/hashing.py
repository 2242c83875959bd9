"""The content hash of a set of rows: the same for the same rows in any order, over columns by name.

Only SQL text is made here. Origin, load time and run are not among the columns a caller passes.
"""

from __future__ import annotations

from collections.abc import Mapping

from data_platform.lake.sql import ident, text, type_name

HASH_ALGORITHM = "md5-row-sum-1"


def content_hash_sql(columns: Mapping[str, str]) -> str:
    """An aggregate expression (VARCHAR, 32 hex digits) over rows with these columns (name → DuckDB type).

    Each row is written as text, column by column in order of name, with lengths, so that NULL, an empty text and
    neighbouring values cannot be mistaken for each other; the md5 numbers of all rows are summed, which no order
    changes and which counts duplicates; names and types enter once. md5 and not hash(): the latter may change
    with the engine's version."""
    ordered = sorted(columns)
    schema = "\n".join(f"{name} {type_name(columns[name]).upper()}" for name in ordered)
    parts = [_canonical(name, columns[name]) for name in ordered]
    row = "concat(" + ", ".join(parts) + ")" if parts else "''"
    # One md5 per row: the engine computes an expression that stands twice once, and not md5_number_lower and _upper.
    number = f"md5_number({row})"
    lower, upper = f"({number} >> 64)::UBIGINT", f"({number} & {(1 << 64) - 1}::UHUGEINT)::UBIGINT"
    sums = f"coalesce(sum({lower}), 0)::VARCHAR, '/', coalesce(sum({upper}), 0)::VARCHAR"
    return f"md5(concat({text(schema)}, '/', count(*)::VARCHAR, '/', {sums}))"


def _canonical(name: str, duckdb_type: str) -> str:
    value = f"CAST(CAST({ident(name)} AS {duckdb_type}) AS VARCHAR)"
    return f"coalesce(concat(length({value}), ':', {value}), '-')"
