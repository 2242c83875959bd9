"""Who is built from whom, and what a build reads of the lake."""

from __future__ import annotations

from typing import Any

import pytest

from data_platform.assets.dbt_manifest import lake_tables, parents


def _node(name: str, materialized: str, *above: str) -> dict[str, object]:
    return {
        "name": name, "resource_type": "seed" if materialized == "seed" else "model",
        "config": {"materialized": materialized}, "depends_on": {"nodes": list(above)},
    }  # fmt: skip


@pytest.fixture
def manifest() -> dict[str, Any]:
    """orders -> facts -> between (ephemeral, with a seed) -> sums."""
    return {
        "sources": {"source.p.orders": {"schema": "staging", "name": "orders"}},
        "nodes": {
            "model.p.facts": _node("facts", "table", "source.p.orders"),
            "model.p.between": _node("between", "ephemeral", "model.p.facts", "seed.p.codes"),
            "model.p.sums": _node("sums", "table", "model.p.between"),
            "seed.p.codes": _node("codes", "seed"),
        },
    }


def test_a_mart_is_built_from_marts_behind_ephemeral_models_too(manifest: dict[str, Any]) -> None:
    assert parents(manifest) == {"facts": frozenset(), "sums": frozenset({"facts"})}


def test_marts_built_together_read_staging_alone(manifest: dict[str, Any]) -> None:
    read = frozenset({"staging.orders"})
    assert lake_tables(manifest, {"facts", "sums"}) == {"facts": read, "sums": read}


def test_a_mart_built_alone_reads_the_other_as_it_is_committed(manifest: dict[str, Any]) -> None:
    assert lake_tables(manifest, {"sums"}) == {"sums": frozenset({"marts.facts"})}
