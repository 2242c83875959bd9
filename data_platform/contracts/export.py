"""A contract as plain data: its definition in a canonical form that can be kept, compared and fingerprinted.

The definition is what decides which rows a table may have: columns, rules with their actions, key, foreign keys,
partition. Words for people (descriptions, grain, owner) and the version are no part of it. Nothing here runs a query.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from data_platform.contracts.model import Column, Contract, Rule

Definition = dict[str, Any]


@lru_cache(maxsize=256)
def canonical(contract: Contract) -> str:
    """The definition as JSON: the same text for the same definition, whatever the order of a set or of the keys."""
    return json.dumps(definition(contract), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=256)
def fingerprint(contract: Contract) -> str:
    """sha256 of the canonical definition."""
    return hashlib.sha256(canonical(contract).encode()).hexdigest()


def definition(contract: Contract) -> Definition:
    """The definition as JSON can hold it. Columns and rules are in the contract's order."""
    return {
        "columns": [_column(column) for column in contract.columns.values()],
        "rules": [_rule(contract, rule) for rule in contract.rules],
        "key": {"columns": list(contract.key.columns), "scope": contract.key.scope} if contract.key else None,
        "foreign_keys": [
            {"column": fk.column, "references": fk.references, "to": fk.to, "touches": fk.touches, "held": fk.held}
            for fk in contract.foreign_keys
        ],
        "partition": [{"column": part.column, "grain": part.grain} for part in contract.partition.dimensions],
        "event_time": contract.event_time,
        "business_time": contract.business_time,
        "drift": contract.drift,
        "quarantine_limit": contract.quarantine_limit,
    }


def _column(column: Column) -> Definition:
    return {
        "name": column.name, "type": column.duckdb_type, "nullable": column.nullable, "source": column.source,
        "format": " or ".join(column.format) or None, "aliases": list(column.aliases), "decimal": column.decimal, "pii": column.pii, "required": column.required,
    }  # fmt: skip


def _rule(contract: Contract, rule: Rule) -> Definition:
    states = {name: _plain(value) for name, value in (rule.check.statistics or {}).items()} if rule.check else {}
    if rule.check is not None and not states:
        states["body"] = _body(contract, str(rule.check.name))
    if rule.python is not None:
        states["source"] = _source_hash(rule.python.holds)
    return {
        "name": rule.name, "kind": rule.kind, "action": rule.action, "columns": list(rule.columns),
        "expected": rule.expected, "null": rule.null, "states": states,
        "threshold": [rule.threshold.warn_above, rule.threshold.fail_above], "alert_above": rule.threshold.alert_above,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """A check's statistic as JSON can hold it. Lists of allowed values are sets: they are sorted."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Iterable):
        return sorted((_plain(item) for item in value), key=str)
    return str(value)


def _body(contract: Contract, name: str) -> str:
    """The code of a check that is a method of the model, without comments and layout, so that a change of it is seen; a
    constant that it names is not looked into."""
    for cls in contract.model.__mro__:
        for attribute, found in vars(cls).items():
            function = inspect.unwrap(getattr(found, "__func__", found))
            if not inspect.isfunction(function) or name not in (attribute, _stated_name(found)):
                continue
            try:
                (parsed,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
            except (OSError, SyntaxError, ValueError):
                return ""  # made without a file
            return "\n".join(ast.unparse(line) for line in getattr(parsed, "body", ()))
    return ""


def _source_hash(function: Callable[..., Any]) -> str:
    """sha256 of a function's source text, its layout aside; of a lambda, of the statement that it stands in."""
    try:
        source = inspect.getsource(inspect.unwrap(getattr(function, "func", function)))
    except (OSError, TypeError):
        return ""  # made without a file
    return hashlib.sha256(" ".join(source.split()).encode()).hexdigest()


def _stated_name(found: Any) -> str | None:
    """The name that `@pa.check(…)` or `@pa.dataframe_check(…)` gives a method, if it gives one."""
    for kept in ("__check_config__", "__dataframe_check_config__"):
        if info := getattr(found, kept, None):
            return str(info.check_kwargs.get("name"))
    return None
