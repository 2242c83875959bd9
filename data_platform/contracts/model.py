"""The contract: what one table must be, derived from one pandera model. Nothing here runs a query.

A model is a `pandera.ibis.DataFrameModel` under `@table(…)`. Its fields state columns and checks; the decorator
states what belongs to the table: grain, key, partition, owner, actions. Everything else is exported from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import ibis
import pandera.ibis as pa
from pandera.api.checks import Check

# Checks made before pandera registers its ibis functions never learn of them.
from pandera.backends.ibis import builtin_checks as _registers_the_builtin_checks  # noqa: F401

from data_platform.contracts.measures import Measure, Threshold
from data_platform.contracts.partitioning import UNPARTITIONED, Dimension, Partitioning
from data_platform.contracts.validation import check_contract, check_rules
from data_platform.errors import ContractError, UsageError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

Action = Literal["quarantine", "flag", "merge", "fail", "warn"]
NullPolicy = Literal["pass", "fail"]
Decimal = Literal[".", ","]
Drift = Literal["evolve", "freeze", "quarantine", "fail"]
RuleKind = Literal[
    "parse", "shape", "cast", "not_null", "check", "row", "future", "late", "exists", "python", "key", "measure", "band"
]
ROW_KINDS: tuple[RuleKind, ...] = (
    "parse",
    "shape",
    "cast",
    "not_null",
    "check",
    "row",
    "future",
    "late",
    "exists",
    "python",
)
AS_USUAL = "as_usual"
SHORT_NAMES: Mapping[str, str] = {
    "equal_to": "eq", "not_equal_to": "ne", "greater_than": "gt", "greater_than_or_equal_to": "ge",
    "less_than": "lt", "less_than_or_equal_to": "le", "in_range": "in_range", "isin": "isin", "notin": "notin",
    "str_matches": "matches", "str_contains": "contains", "str_length": "length",
    "str_startswith": "startswith", "str_endswith": "endswith",
}  # fmt: skip
META = "platform"
NO_THRESHOLD = Threshold()
DEFAULT_ACTIONS: Mapping[RuleKind, Action] = {"late": "flag", "band": "warn"}


@dataclass(frozen=True)
class ColumnMeta:
    """What a column carries beyond pandera: the source's names for it, how its text is written, its PII class."""

    source: str | None = None
    aliases: tuple[str, ...] = ()
    format: tuple[str, ...] = ()
    decimal: Decimal = "."
    pii: str | None = None
    required: bool = True


def column(
    *, description: str, source: str | None = None, aliases: Sequence[str] = (), format: str | Sequence[str] = (),
    decimal: Decimal = ".", pii: str | None = None, required: bool = True, **checks: Any,
) -> Any:  # fmt: skip
    """A pandera field with the platform's metadata. `source` is the header in the drop file when it differs, `aliases`
    other headers that mean the same, such as last year's; `format` a strptime format for dates kept as text, or
    several of which the first that fits counts; `decimal` the sign before the decimals of a number;
    `required=False` lets a file leave the column out.
    `unique=True` is refused: pandera.ibis ignores it; state a `Key` instead."""
    if checks.get("unique"):
        raise ContractError("`unique=True` is silently ignored by pandera.ibis.", fix="state `key=Key(…)` in `@table`")
    formats = (format,) if isinstance(format, str) else tuple(format)
    meta = ColumnMeta(source, tuple(aliases), formats, decimal, pii, required)
    return pa.Field(description=description, metadata={META: meta}, **checks)


@dataclass(frozen=True)
class Key:
    """Columns that identify a row. Scope `partition`: once per partition; `table`: once in the whole table.
    Within a partition duplicates are merged (the latest wins); a key that another partition has already is
    judged by the rule `key`, whose action is `quarantine` or `fail`."""

    columns: tuple[str, ...]
    scope: Literal["partition", "table"] = "partition"


@dataclass(frozen=True)
class ForeignKey:
    """`column` must exist as `to` in the table `references`, or the rule `<column>.exists` is broken. `touches` is the
    time column there whose day a row changes too, as a refund changes the day of its order.

    A parent counts when it arrived in the same partition or an earlier one. With `held` any parent counts, and a child
    that lacks nothing else waits for it: set aside as `held`, and judged again once the parent is there."""

    column: str
    references: str
    to: str
    touches: str | None = None
    held: bool = False


@dataclass(frozen=True)
class PythonRule:
    """A rule that only Python can judge: the slow path, since the rows leave the engine for it. `holds` gets batches of
    these columns as a pandas frame, nulls included, and returns a boolean per row: whether it keeps the rule."""

    name: str
    columns: tuple[str, ...]
    holds: Callable[[pd.DataFrame], pd.Series[bool]]
    expected: str


@dataclass(frozen=True)
class Rule:
    """One rule of a contract. `expected` is for people; `check` is pandera's own declaration, where there is one. Rules
    of the kinds `measure` and `band` are about a partition, not about a row."""

    name: str
    kind: RuleKind
    action: Action
    columns: tuple[str, ...]
    expected: str
    null: NullPolicy = "pass"
    check: Check | None = None
    foreign_key: ForeignKey | None = None
    measure: Measure | None = None
    python: PythonRule | None = None
    threshold: Threshold = NO_THRESHOLD


@dataclass(frozen=True)
class Column:
    """One column as the engine and people need it."""

    name: str
    duckdb_type: str
    nullable: bool
    description: str
    source: str
    aliases: tuple[str, ...]
    format: tuple[str, ...]
    decimal: Decimal
    pii: str | None
    required: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, eq=False)
class Contract:
    """One table. `name` is `layer.table`; `event_time` the column that orders duplicates and judges lateness;
    `business_time` the column whose day a row belongs to in the marts (the event time, if it is not stated);
    `quarantine_limit` a share of rows above which a load fails; `measures` what its partitions must keep as a whole; `python_rules` what no engine can judge;
    `drift` what happens when the feed's shape is not the contract's. A column that no contract knows: `freeze` leaves it in
    raw and loads the rest, `evolve` carries it into staging too (as JSON in `_extra`), `quarantine` sets aside the records
    that have it, `fail` commits nothing, and nothing either where a text is not of its type or a record cannot be read;
    `thresholds` when the rows that break a rule pass, or fail the load."""

    name: str
    model: type[pa.DataFrameModel]
    grain: str
    owner: str
    key: Key | None = None
    foreign_keys: tuple[ForeignKey, ...] = ()
    partition: Partitioning = UNPARTITIONED
    event_time: str | None = None
    business_time: str | None = None
    version: int = 1
    freshness: timedelta | None = None
    quarantine_limit: float = 0.2
    drift: Drift = "freeze"
    actions: Mapping[str, Action] = field(default_factory=dict)
    nulls: Mapping[str, NullPolicy] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    python_rules: tuple[PythonRule, ...] = ()
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)

    @property
    def layer(self) -> str:
        return self.name.split(".")[0]

    @property
    def table(self) -> str:
        return self.name.split(".")[1]

    @property
    def description(self) -> str:
        return (self.model.__doc__ or "").strip()

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """Columns by name, in the model's order; the partition column of a staging table is not among them."""
        schema = self.model.to_schema()
        return {name: _column(name, spec) for name, spec in schema.columns.items()}

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule in the order in which a row's first reason is named. Raises `ContractError` for what
        a contract may not state."""
        check_contract(self)
        rules = tuple(self._rule(*parts) for parts in self._declared())
        check_rules(self, rules)
        return rules

    @property
    def row_rules(self) -> tuple[Rule, ...]:
        """The rules that are judged row by row, in one scan."""
        return tuple(rule for rule in self.rules if rule.kind in ROW_KINDS)

    @property
    def key_spans_partitions(self) -> bool:
        """Whether a key may be in one partition alone."""
        return self.key is not None and self.key.scope == "table" and bool(self.partition.columns)

    @property
    def time_dimension(self) -> Dimension | None:
        """The partition column that is a time, if there is one."""
        return next((found for found in self.partition.dimensions if found.grain != "static"), None)

    def rule(self, name: str) -> Rule:
        found = next((rule for rule in self.rules if rule.name == name), None)
        if found is None:
            raise UsageError(
                f"`{self.name}` has no rule `{name}`.{did_you_mean(name, [r.name for r in self.rules])}",
                fix=f"data-platform contract show {self.name}",
            )
        return found

    def _rule(
        self, name: str, kind: RuleKind, columns: tuple[str, ...], expected: str, extra: Mapping[str, Any]
    ) -> Rule:
        null: NullPolicy = self.nulls.get(name, "fail" if kind == "not_null" else "pass")
        measure: Measure | None = extra.get("measure")
        default: Action = measure.action if measure else DEFAULT_ACTIONS.get(kind, "quarantine")
        if self.drift == "fail" and kind in ("parse", "shape", "cast"):
            default = "fail"
        action, threshold = self.actions.get(name, default), self.thresholds.get(name, NO_THRESHOLD)
        return Rule(name, kind, action, columns, expected, null, threshold=threshold, **extra)

    def _declared(self) -> list[tuple[str, RuleKind, tuple[str, ...], str, Mapping[str, Any]]]:
        found: list[tuple[str, RuleKind, tuple[str, ...], str, Mapping[str, Any]]] = []
        if self.layer == "staging":
            found.append(("record.parse", "parse", (), "the record can be read", {}))
            if self.drift in ("quarantine", "fail"):
                found.append(("record.shape", "shape", (), "no column that the contract does not know", {}))
            for col in self.columns.values():
                if col.duckdb_type != "VARCHAR":
                    found.append((f"{col.name}.cast", "cast", (col.name,), f"text that is a {col.duckdb_type}", {}))
        for col in self.columns.values():
            if not col.nullable:
                found.append((f"{col.name}.not_null", "not_null", (col.name,), "a value", {}))
        for col in self.columns.values():
            for check in col.checks:
                short = SHORT_NAMES.get(str(check.name), str(check.name))
                found.append((f"{col.name}.{short}", "check", (col.name,), _expected(check), {"check": check}))
        for check in self.model.to_schema().checks:
            found.append((str(check.name), "row", (), _expected(check), {"check": check}))
        if self.layer == "staging" and self.event_time and self.partition.dimensions:
            at = (self.event_time,)
            found.append((f"{self.event_time}.future", "future", at, "not after the partition it arrived in", {}))
            found.append((f"{self.event_time}.late", "late", at, "not before the partition it arrived in", {}))
        for fk in self.foreign_keys:
            text = f"a `{fk.to}` of `{fk.references}`"
            found.append((f"{fk.column}.exists", "exists", (fk.column,), text, {"foreign_key": fk}))
        for rule in self.python_rules:
            found.append((rule.name, "python", rule.columns, rule.expected, {"python": rule}))
        if self.key:
            found.append(
                ("key", "key", self.key.columns, f"{', '.join(self.key.columns)} once per {self.key.scope}", {})
            )
        for measure in self.measures:
            about = (measure.column,) if measure.column else ()
            found.append((measure.name, "measure", about, measure.expected, {"measure": measure}))
        if self.layer in ("staging", "marts") and self.time_dimension:
            found.append((AS_USUAL, "band", (), "each number within the band of its history", {}))
        return found


REGISTRY: dict[str, Contract] = {}


def table(
    name: str, *, grain: str, owner: str, **stated: Any
) -> Callable[[type[pa.DataFrameModel]], type[pa.DataFrameModel]]:
    """Registers the decorated model as the contract of `name` (`layer.table`). Keyword arguments are `Contract`'s fields."""

    def register(model: type[pa.DataFrameModel]) -> type[pa.DataFrameModel]:
        stated.setdefault("business_time", stated.get("event_time"))
        contract = Contract(name=name, model=model, grain=grain, owner=owner, **stated)
        _ = contract.rules  # refuses what cannot be meant
        if name in REGISTRY and REGISTRY[name].model.__qualname__ != model.__qualname__:
            raise ContractError(
                f"`{name}` has two contracts: `{REGISTRY[name].model.__name__}` and `{model.__name__}`."
            )
        REGISTRY[name] = contract
        return model

    return register


def _column(name: str, spec: Any) -> Column:
    meta: ColumnMeta = (spec.metadata or {}).get(META) or ColumnMeta()
    return Column(
        name=name, duckdb_type=duckdb_type(spec.dtype.type), nullable=bool(spec.nullable),
        description=spec.description or "", source=meta.source or name, aliases=meta.aliases,
        format=meta.format, decimal=meta.decimal, pii=meta.pii, required=meta.required, checks=tuple(spec.checks),
    )  # fmt: skip


def duckdb_type(dtype: ibis.expr.datatypes.DataType) -> str:
    """The DuckDB spelling of an ibis type. HUGEINT and UUID are refused: other engines cannot read them."""
    if dtype.is_decimal():
        if dtype.precision is None or dtype.scale is None:
            raise ContractError(
                "A decimal needs its precision and scale.", fix="use `Money`, or `Annotated[Decimal, 18, 2, None]`"
            )
        return f"DECIMAL({dtype.precision},{dtype.scale})"
    for matches, name in (
        (dtype.is_boolean(), "BOOLEAN"), (dtype.is_int8(), "TINYINT"), (dtype.is_int16(), "SMALLINT"),
        (dtype.is_int32(), "INTEGER"), (dtype.is_int64(), "BIGINT"), (dtype.is_float32(), "FLOAT"),
        (dtype.is_float64(), "DOUBLE"), (dtype.is_string(), "VARCHAR"), (dtype.is_date(), "DATE"),
        (dtype.is_timestamp(), "TIMESTAMP"), (dtype.is_time(), "TIME"), (dtype.is_binary(), "BLOB"),
    ):  # fmt: skip
        if matches:
            return name
    raise ContractError(
        f"A contract cannot hold the type `{dtype}`.", fix="use VARCHAR, a number, DATE, TIMESTAMP or BOOLEAN"
    )


def _expected(check: Check) -> str:
    if check.description:
        return str(check.description)
    values = (check.statistics or {}).values()
    if check.name == "isin":
        return "one of " + ", ".join(sorted(map(str, *values)))
    words = ", ".join(str(value) for value in values if value is not None)
    return f"{SHORT_NAMES.get(str(check.name), str(check.name))} {words}".strip()
