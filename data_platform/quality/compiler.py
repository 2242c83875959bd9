"""Compiles a contract to SQL text: a typed value per column, per rule an expression that is TRUE where a row breaks it, and
what the bits of broken rules mean.

Only text is made here; nothing runs. pandera's checks give ibis expressions over an unbound table, ibis gives SQL,
and sqlglot (ibis's own SQL parser) takes the one select expression out of it, so that all rules fit in one scan.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ibis
import sqlglot
from ibis.backends.sql.datatypes import DuckDBType
from pandera.api.checks import Check
from pandera.api.ibis.types import IbisData
from sqlglot import expressions as exp

from data_platform.contracts.model import Column, Contract, Rule
from data_platform.contracts.partitioning import Dimension
from data_platform.errors import ContractError
from data_platform.lake.sql import ident, text, texts

_ZONED = r":[0-9]{2}([.][0-9]+)?\s*(Z|UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)$"
_PLAIN = r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([T ]+[0-9:.]+)?$"  # any other offset the cast would drop or shift by
NO_RULE = "discarded"  # the first rule of a row that breaks none
MAX_RULES = 62  # one bit each in a UBIGINT; two are for the key and for what was discarded


@dataclass(frozen=True)
class CompiledRule:
    """A rule, its bit, and SQL that is TRUE where a row breaks it; over the typed columns, the partition
    columns, `raw:<column>` texts and `ref:<column>` lookups, as its kind needs."""

    rule: Rule
    bit: int
    broken: str


@lru_cache(maxsize=256)
def compile_rules(contract: Contract) -> tuple[CompiledRule, ...]:
    """All rules about a row; `key` is a question about the set, a measure one about the partition.
    Raises `ContractError` for a rule that cannot be judged row by row inside the engine."""
    rules = contract.row_rules
    if len(rules) > MAX_RULES:
        raise ContractError(f"`{contract.name}` has {len(rules)} rules; {MAX_RULES} fit in one pass.")
    for rule in rules:
        if rule.kind == "parse" and rule.action not in ("quarantine", "fail"):
            raise ContractError(
                f"`{contract.name}`: `{rule.name}` cannot have the action `{rule.action}`: a record that cannot be read has no values to accept.",
                fix="use `quarantine` or `fail`",
            )
    return tuple(CompiledRule(rule, bit, _broken(contract, rule)) for bit, rule in enumerate(rules))


@dataclass(frozen=True)
class Judge:
    """A contract ready to judge: its row rules, and the bit of its `key` rule."""

    contract: Contract
    rules: tuple[CompiledRule, ...]

    @classmethod
    def of(cls, contract: Contract) -> Judge:
        return cls(contract, compile_rules(contract))

    @property
    def key_bit(self) -> int:
        return 1 << len(self.rules)

    @property
    def discard_bit(self) -> int:
        return self.key_bit << 1

    @property
    def set_aside(self) -> int:
        """Bits that take a row out of the accepted ones."""
        return mask_of(self.rules, "quarantine", "fail") | self.key_bit | self.discard_bit

    @property
    def held(self) -> int:
        """Bits of the rules whose rows wait for a parent."""
        return sum(
            1 << rule.bit for rule in self.rules if rule.rule.foreign_key is not None and rule.rule.foreign_key.held
        )

    @property
    def in_steps(self) -> bool:
        """Whether some verdict is reached only after a first one for all rows: in Python, or about parents in the same
        table."""
        return any(
            rule.rule.python is not None
            or (rule.rule.foreign_key is not None and rule.rule.foreign_key.references == self.contract.name)
            for rule in self.rules
        )

    @property
    def without_key(self) -> int:
        """Bits that say that the record, or a part of its key, could not be read: such a row has no key that another
        could share, even where the contract lets it in."""
        key = self.contract.key.columns if self.contract.key else ()
        return sum(
            1 << rule.bit
            for rule in self.rules
            if rule.rule.kind == "parse" or (rule.rule.kind in ("cast", "not_null") and rule.rule.columns[0] in key)
        )

    def first_rule_sql(self) -> str:
        """SQL for the first rule for which a row of `routed` is set aside; `discarded` where people did it alone."""
        aside = [(name, bit) for name, bit in self.bits() if bit & self.set_aside]
        broken = " ".join(f"WHEN _broken & {bit} <> 0 THEN {text(name)}" for name, bit in aside)
        return f"CASE {broken} ELSE {text(NO_RULE)} END" if broken else text(NO_RULE)

    def bits(self) -> list[tuple[str, int]]:
        """Rule names with their bits, `key` last."""
        found = [(rule.rule.name, 1 << rule.bit) for rule in self.rules]
        return [*found, ("key", self.key_bit)] if self.contract.key else found


def typed_value(column: Column) -> str:
    """SQL that gives a column's value from its text `raw:<name>`; NULL for blank text and for text that is not of the type.

    Nothing is rounded or cut off in silence, as a plain cast would: `12.7` is no integer, `0.125` no DECIMAL(18,2),
    `2026-01-05 13:00` no DATE. Numbers and moments are finite, years are 1 to 9999. A moment with a UTC offset becomes
    UTC; of a second's fraction six digits are kept.
    """
    value = ident(f"raw:{column.name}")
    if column.decimal == "," and column.duckdb_type.startswith(("DECIMAL", "DOUBLE", "FLOAT")):
        value = f"CASE WHEN NOT contains({value}, '.') THEN replace({value}, ',', '.') END"
    kind = column.duckdb_type
    cast = f"TRY_CAST({value} AS {kind})"
    if kind == "VARCHAR":
        return value
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"):
        return _canonical(value, kind, _where(f"regexp_full_match({value}, '[+-]?[0-9]+([.]0*)?')", cast))
    if kind.startswith("DECIMAL"):
        scale = kind.rstrip(")").rpartition(",")[2].strip()
        exact = _where(f"regexp_full_match({value}, '[+-]?[0-9]*[.]?[0-9]{{0,{scale}}}0*')", cast)
        return _canonical(value, kind, exact)
    if kind in ("DOUBLE", "FLOAT"):
        return _where(f"isfinite(TRY_CAST({value} AS DOUBLE))", cast)
    if column.format:
        return _in_calendar(f"CAST(try_strptime({value}, {texts(column.format)}) AS {kind})")
    if kind == "DATE":
        dashed = _where(f"regexp_full_match({value}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')", cast)
        return _in_calendar(_canonical(value, kind, dashed, characters=10))
    if kind == "TIMESTAMP":
        utc = f"make_timestamp(epoch_us(TRY_CAST({value} AS TIMESTAMPTZ)))"
        plain = _where(f"regexp_matches({value}, {text(_PLAIN)})", cast)
        either = f"CASE WHEN regexp_matches({value}, {text(_ZONED)}) THEN {utc} ELSE {plain} END"
        return _in_calendar(_canonical(value, kind, either, characters=19))
    return cast


def _canonical(value: str, kind: str, otherwise: str, characters: int | None = None) -> str:
    """The cast where the engine would write the value as just this text (of so many characters: years of four digits),
    which nearly all are and which takes a third of the time; the careful expression for the others."""
    cast = f"TRY_CAST({value} AS {kind})"
    length = f"strlen({value}) = {characters} AND " if characters else ""
    return f"CASE WHEN {length}CAST({cast} AS VARCHAR) = {value} THEN {cast} ELSE {otherwise} END"


def _in_calendar(moment: str) -> str:
    """The engine knows years that neither Python nor the tools of readers do."""
    return _where(f"year({moment}) BETWEEN 1 AND 9999", moment)


def _where(condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def raw_text(column: Column) -> str:
    """SQL for a raw column's text as rules see it: trimmed, and NULL when blank. Trimming looks at every character, so
    ASCII text without a blank at either end is told apart first, in a fifth of the time."""
    value = ident(column.source)
    trimmed = f"{value} >= '!' AND NOT suffix({value}, ' ') AND strlen({value}) = length({value})"
    return f"CASE WHEN {trimmed} THEN {value} ELSE NULLIF(TRIM({value}), '') END AS {ident(f'raw:{column.name}')}"


def broken_mask(rules: tuple[CompiledRule, ...]) -> str:
    """SQL for the UBIGINT with the bit of every broken rule set."""
    if not rules:
        return "0::UBIGINT"
    return "(" + " + ".join(f"CASE WHEN {r.broken} THEN {1 << r.bit} ELSE 0 END" for r in rules) + ")::UBIGINT"


def mask_of(rules: tuple[CompiledRule, ...], *actions: str) -> int:
    """The bits of the rules with one of these actions."""
    return sum(1 << rule.bit for rule in rules if rule.rule.action in actions)


def _broken(contract: Contract, rule: Rule) -> str:
    name = ident(rule.columns[0]) if rule.columns else ""
    raw = ident(f"raw:{rule.columns[0]}") if rule.columns else ""
    match rule.kind:
        case "parse":
            return '"_defect" IS NOT NULL'
        case "shape":
            return '"_extra" IS NOT NULL'
        case "cast":
            return f"({raw} IS NOT NULL AND {name} IS NULL)"
        case "not_null" if contract.layer == "staging":
            # Text of the wrong type is the cast rule's matter, and a record that could not be read the parse rule's.
            return f'({raw} IS NULL AND "_defect" IS NULL)'
        case "not_null":
            return f"({name} IS NULL)"
        case "python":
            return "FALSE"  # who judges sets the bit: quality/python_rules.py
        case "future":
            dimension = _time_dimension(contract, rule)
            return f"({name} >= {ident(dimension.column)} + INTERVAL 1 {dimension.grain.upper()})"
        case "late":
            return f"({name} < {ident(_time_dimension(contract, rule).column)})"
        case "exists":
            # `ref:<column>` is TRUE where the parent was found; who judges looks it up.
            return f"({name} IS NOT NULL AND {ident(f'ref:{rule.columns[0]}')} IS NOT TRUE)"
        case _:
            verdict = "IS FALSE" if rule.null == "pass" else "IS NOT TRUE"
            return f"(({_expression(contract, rule)}) {verdict})"


def _time_dimension(contract: Contract, rule: Rule) -> Dimension:
    if contract.time_dimension is None:
        raise ContractError(f"`{contract.name}` has the rule `{rule.name}` and no time partition to judge it by.")
    return contract.time_dimension


def _expression(contract: Contract, rule: Rule) -> str:
    """The SQL of a pandera check as one expression over unqualified columns."""
    table = _unbound(contract)
    key = rule.columns[0] if rule.kind == "check" else None
    check = rule.check
    assert check is not None
    if check.element_wise:
        raise ContractError(f"`{contract.name}`: the rule `{rule.name}` is element-wise Python, which no engine can run.",
                            fix="write it as an ibis expression over `data.table`")  # fmt: skip
    try:
        result = check._check_fn(IbisData(table, key), **_arguments(check))
        column = _as_column(result)
        statement = sqlglot.parse_one(ibis.to_sql(table.select(verdict=column), dialect="duckdb"), read="duckdb")
    except ContractError:
        raise
    except Exception as error:  # a user's check can raise anything
        raise ContractError(f"`{contract.name}`: the rule `{rule.name}` cannot be compiled: {error}.") from error
    if statement.find(exp.Window, exp.AggFunc, exp.Subquery, exp.Join) or len(statement.expressions) != 1:
        raise ContractError(f"`{contract.name}`: the rule `{rule.name}` looks at more than its own row.",
                            fix="state keys with `Key` and parents with `ForeignKey`")  # fmt: skip
    verdict = statement.expressions[0].this
    for node in verdict.find_all(exp.Column):
        node.set("table", None)
    return str(verdict.sql(dialect="duckdb"))


def _arguments(check: Check) -> dict[str, Any]:
    """A check's arguments, so that ibis judges as pandas does: a pattern is anchored as a whole (`^a|b` finds a `b`
    anywhere) and keeps its flags, and a NULL among the allowed values does not make every verdict NULL."""
    arguments = dict(check._check_kwargs)
    if "pattern" in arguments:
        anchor = "^" if check.name == "str_matches" else ""
        arguments["pattern"] = f"{anchor}{_group(arguments['pattern'])}"
    if check.name in ("isin", "notin"):
        (name,) = arguments
        arguments[name] = [value for value in arguments[name] if value is not None]
    return arguments


def _group(pattern: str | re.Pattern[str]) -> str:
    """The pattern as a group of its own, with the flags it was compiled with."""
    if isinstance(pattern, str):
        return pattern and f"(?:{pattern})"  # the engine finds `^(?:)` in no text at all
    if pattern.flags & re.VERBOSE:
        raise ContractError(f"The pattern `{pattern.pattern}` is verbose.", fix="write it without blanks and comments")
    flags = "".join(letter for letter, flag in (("i", re.I), ("m", re.M), ("s", re.S)) if pattern.flags & flag)
    return f"(?{flags}:{pattern.pattern})"


def _as_column(result: Any) -> Any:
    """pandera's built-in checks return a projection of one boolean column; custom ones usually the column."""
    if isinstance(result, ibis.Table):
        values = result.op().values
        if len(values) != 1:
            raise ContractError("A check must give one boolean column.")
        return next(iter(values.values())).to_expr()
    if isinstance(result, bool):
        return ibis.literal(result)
    return result


def _unbound(contract: Contract) -> ibis.Table:
    types = {column.name: column.duckdb_type for column in contract.columns.values()}
    types |= {dimension.column: dimension.duckdb_type for dimension in contract.partition.dimensions}
    schema = {name: DuckDBType.from_string(kind) for name, kind in types.items()}
    return ibis.table(schema, name="typed")
