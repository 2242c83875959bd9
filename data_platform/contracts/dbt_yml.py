"""dbt's yml, derived from the contracts: the marts' grain, columns and tests, and the staging tables as sources.

`python -m data_platform.contracts.dbt_yml` writes the files; with `--check` it only says which have drifted.
What is written by hand stays out: SQL, unit tests, the seeds' yml.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pandera.api.checks import Check

from data_platform.contracts.model import Column, Contract, ForeignKey
from data_platform.contracts.registry import contracts
from data_platform.errors import ContractError
from data_platform.settings import PROJECT_ROOT

DBT_DIR = PROJECT_ROOT / "dbt"
WRITE = "python -m data_platform.contracts.dbt_yml"
HEADER = f"# Generated from the contracts by `{WRITE}`. Do not edit.\n"
MARTS = "models/marts/_marts.yml"
SOURCES = "models/_sources.yml"


def mart_contracts(dbt_dir: Path = DBT_DIR) -> tuple[Contract, ...]:
    """The mart contracts that dbt builds: those with a model of their table's name. Raises `ContractError` for a
    model without a contract."""
    models = {path.stem for path in (dbt_dir / "models" / "marts").rglob("*.sql")}
    found = tuple(contract for contract in contracts("marts") if contract.table in models)
    stray = sorted(models - {contract.table for contract in found})
    if stray:
        raise ContractError(
            f"The model `{stray[0]}` has no contract.", fix=f"state `marts.{stray[0]}` in data_platform/contracts/"
        )
    return found


def render(dbt_dir: Path = DBT_DIR) -> dict[Path, str]:
    """The text of every generated file, by path."""
    marts = {"version": 2, "models": [_model(contract) for contract in mart_contracts(dbt_dir)]}
    staging = {
        "name": "staging",
        "description": "Screened rows by arrival day; written by the platform, never by dbt.",
        "database": "lake",
        "schema": "staging",
        "tables": [_source(contract) for contract in contracts("staging")],
    }
    return {
        dbt_dir / MARTS: _dump(marts),
        dbt_dir / SOURCES: _dump({"version": 2, "sources": [staging]}),
    }


def drifted(dbt_dir: Path = DBT_DIR) -> list[Path]:
    """Generated files that differ from what the contracts say now."""
    return [path for path, text in render(dbt_dir).items() if not path.exists() or path.read_text("utf-8") != text]


def write(dbt_dir: Path = DBT_DIR) -> list[Path]:
    """Writes the files that have drifted and returns them."""
    texts = render(dbt_dir)
    changed = drifted(dbt_dir)
    for path in changed:
        path.write_text(texts[path], "utf-8")
    return changed


def _model(contract: Contract) -> dict[str, Any]:
    table_tests: list[object] = []
    if contract.key and len(contract.key.columns) > 1:
        table_tests.append({"unique_together": {"arguments": {"columns": list(contract.key.columns)}}})
    return {
        "name": contract.table,
        "description": f"{contract.description} Grain: {contract.grain}.",
        "config": {"contract": {"enforced": True}},
        **({"data_tests": table_tests} if table_tests else {}),
        "columns": [_column(contract, column) for column in contract.columns.values()],
    }


def _column(contract: Contract, column: Column) -> dict[str, Any]:
    tests: list[object] = [] if column.nullable else ["not_null"]
    if contract.key and contract.key.columns == (column.name,):
        tests.append("unique")
    tests.extend(_accepted(check) for check in column.checks if check.name == "isin")
    tests.extend(_relationship(fk) for fk in contract.foreign_keys if fk.column == column.name)
    return {**_described(column), **({"data_tests": tests} if tests else {})}


def _source(contract: Contract) -> dict[str, Any]:
    arrival = [
        {
            "name": dimension.column,
            "description": "Partition the row arrived in",
            "data_type": dimension.duckdb_type.lower(),
        }
        for dimension in contract.partition.dimensions
        if dimension.column not in contract.columns
    ]
    return {
        "name": contract.table,
        "description": f"{contract.description} Grain: {contract.grain}.",
        "config": {"meta": {"dagster": {"asset_key": [contract.layer, contract.table]}}},
        "columns": [_described(column) for column in contract.columns.values()] + arrival,
    }


def _described(column: Column) -> dict[str, Any]:
    return {"name": column.name, "description": column.description, "data_type": column.duckdb_type.lower()}


def _accepted(check: Check) -> Mapping[str, Any]:
    (values,) = (check.statistics or {}).values()
    return {"accepted_values": {"arguments": {"values": sorted(values)}}}


def _relationship(fk: ForeignKey) -> Mapping[str, Any]:
    layer, table = fk.references.split(".")
    to = f"ref('{table}')" if layer == "marts" else f"source('{layer}', '{table}')"
    return {"relationships": {"arguments": {"to": to, "field": fk.to}}}


def _dump(content: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return HEADER + text


def main(arguments: list[str]) -> int:
    """Returns 0 when the files are up to date or were written, 1 when `--check` found drift."""
    check = "--check" in arguments
    for path in drifted() if check else write():
        sys.stderr.write(f"`{path}` {'has drifted from the contracts' if check else 'was written'}.\n")
        if check:
            sys.stderr.write(f"Fix: {WRITE}\n")
    return int(check and bool(drifted()))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
