"""What a contract may not state: names that are not there, rules that could not mean anything. Raises `ContractError`.

A contract is looked at when it is registered, and its parents once all are. What an engine finds out is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from data_platform.contracts.measures import SOURCE_KINDS
from data_platform.errors import ContractError, did_you_mean

if TYPE_CHECKING:
    from data_platform.contracts.measures import Measure
    from data_platform.contracts.model import Contract, Rule

ACTIONS = ("quarantine", "flag", "merge", "fail", "warn")
NUMERIC = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DECIMAL", "DOUBLE", "FLOAT")
OF_NUMBERS = ("mean", "quantile", "total", "share_kept", "source_sum")
OF_SOURCES = ("share_kept", *SOURCE_KINDS)
MAY_BE_NULL = ("check", "row")  # the kinds of rules whose check may give NULL
ABOUT_PARTITIONS = ("measure", "band")


def check_contract(contract: Contract) -> None:
    """Whether everything that a contract says of itself is there. Its rules are `check_rules`'."""
    _columns(contract)
    for what, names in _named(contract):
        for name in names:
            if name not in contract.columns:
                raise ContractError(
                    f"`{contract.name}`: {what} names the column `{name}`, which it does not have."
                    f"{did_you_mean(name, contract.columns)}",
                    fix=f"name one of {', '.join(contract.columns)}",
                )
    for measure in contract.measures:
        _measure(contract, measure)


def check_rules(contract: Contract, rules: Sequence[Rule]) -> None:
    """Whether what is stated about rules is about rules that there are, and can be meant of them."""
    names = [rule.name for rule in rules]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise ContractError(f"`{contract.name}` has two rules of the name `{twice}`.", fix="rename one of them")
    odd = next((name for name in names if "," in name or not name.strip()), None)
    if odd is not None:
        raise ContractError(f"`{contract.name}`: `{odd}` is no name of a rule.", fix="leave commas out")
    for stated in (*contract.actions, *contract.nulls, *contract.thresholds):
        if stated not in names:
            raise ContractError(
                f"`{contract.name}` names a rule `{stated}` it does not have.{did_you_mean(stated, names)}"
            )
    for rule in rules:
        _action(contract, rule)
        _null_and_threshold(contract, rule)


def check_parents(registered: Mapping[str, Contract]) -> None:
    """Whether the parents of all contracts are there, with the columns that are asked of them."""
    for contract in registered.values():
        for fk in contract.foreign_keys:
            parent = registered.get(fk.references)
            where = f"`{contract.name}`: the foreign key of `{fk.column}`"
            if parent is None:
                raise ContractError(
                    f"{where} refers to `{fk.references}`, which has no contract.{did_you_mean(fk.references, registered)}"
                )
            for name in filter(None, (fk.to, fk.touches)):
                if name not in parent.columns:
                    raise ContractError(
                        f"{where} refers to `{name}`, which `{parent.name}` does not have.{did_you_mean(name, parent.columns)}"
                    )


def _columns(contract: Contract) -> None:
    columns = contract.columns.values()
    headers = [header for column in columns for header in (column.source, *column.aliases)]
    # The engine does not tell columns apart by case; aliases are no columns of it.
    own = [name.lower() for name in contract.columns]
    sources = [column.source.lower() for column in columns]
    if contract.layer == "staging":
        own, sources = ([*contract.partition.columns, *names] for names in (own, sources))
    for names, what, fix in (
        (headers, "columns for the header", "give each its own source or alias"),
        (own, "columns of the name, but for its case,", "rename one of them"),
        (sources, "columns for the header, but for its case,", "give each its own source"),
    ):
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if twice is not None:
            raise ContractError(f"`{contract.name}` has two {what} `{twice}`.", fix=fix)


def _named(contract: Contract) -> Iterable[tuple[str, Iterable[str]]]:
    """Where a contract names columns of its own, and which."""
    yield "the key", contract.key.columns if contract.key else ()
    yield "`event_time`", filter(None, (contract.event_time,))
    yield "`business_time`", filter(None, (contract.business_time,))
    for fk in contract.foreign_keys:
        yield f"the foreign key to `{fk.references}`", (fk.column,)
    for rule in contract.python_rules:
        yield f"the rule `{rule.name}`", rule.columns
    for measure in contract.measures:
        yield f"the measure `{measure.name}`", filter(None, (measure.column,))


def _measure(contract: Contract, measure: Measure) -> None:
    where = f"`{contract.name}`: the measure `{measure.name}`"
    if measure.kind in OF_SOURCES and contract.layer != "staging":
        raise ContractError(
            f"{where} compares with a source, which only staging tables have.", fix="state it in the staging contract"
        )
    if measure.kind == "lag_hours" and not (contract.event_time and contract.time_dimension):
        raise ContractError(
            f"{where} needs an event time and a time partition.", fix="state `event_time=` and `partition=by(…)`"
        )
    if measure.column and measure.kind in OF_NUMBERS:
        kind = contract.columns[measure.column].duckdb_type
        if not kind.startswith(NUMERIC):
            raise ContractError(
                f"{where} is of numbers, and `{measure.column}` is {kind}.", fix="name a numeric column"
            )
    if measure.at is not None and not 0 <= measure.at <= 1:
        raise ContractError(f"{where} is at {measure.at}.", fix="state a share from 0 to 1; the median is at 0.5")
    low, high = measure.at_least, measure.at_most
    if low is None and high is None and measure.kind not in SOURCE_KINDS:
        raise ContractError(f"{where} has no bound.", fix="state `at_least=` or `at_most=`, or leave it out")
    if low is not None and high is not None and low > high:
        raise ContractError(f"{where} is to be at least {low} and at most {high}.", fix="swap the bounds")


def _action(contract: Contract, rule: Rule) -> None:
    where = f"`{contract.name}`: the rule `{rule.name}`"
    if rule.action not in ACTIONS:
        raise ContractError(f"{where} has an unknown action `{rule.action}`.{did_you_mean(rule.action, ACTIONS)}")
    if rule.kind == "key" and rule.action not in ("quarantine", "fail"):
        raise ContractError(
            f"{where} cannot have the action `{rule.action}`.",
            fix="use `quarantine` or `fail`; duplicates within a partition are merged anyway",
        )
    if rule.kind in ABOUT_PARTITIONS and rule.action not in ("warn", "fail"):
        raise ContractError(
            f"{where} is about a partition and cannot have the action `{rule.action}`.", fix="use `warn` or `fail`"
        )
    if rule.kind != "key" and rule.action == "merge":
        raise ContractError(
            f"{where} cannot have the action `merge`: only duplicates of a key merge.",
            fix="use `quarantine`, `flag`, `warn` or `fail`",
        )


def _null_and_threshold(contract: Contract, rule: Rule) -> None:
    where = f"`{contract.name}`: the rule `{rule.name}`"
    if rule.name in contract.nulls and rule.kind not in MAY_BE_NULL:
        raise ContractError(
            f"{where} is never NULL, so `nulls` has nothing to say about it.",
            fix="leave it out; an empty value is the matter of `<column>.not_null`, and a Python rule sees nulls itself",
        )
    if rule.name not in contract.thresholds:
        return
    if rule.kind in ABOUT_PARTITIONS:
        raise ContractError(
            f"{where} is about a partition, and a threshold counts rows.",
            fix="state the bounds of the measure, and `action=`",
        )
    if rule.threshold.alert_above is not None and contract.layer != "staging":
        raise ContractError(
            f"{where} cannot alert and commit: an error keeps rows out of a mart.",
            fix="state `alert_above` in the staging contract",
        )
    limit = rule.threshold
    steps = [("warn", limit.warn_above), ("alert", limit.alert_above), ("fail", limit.fail_above)]
    stated = [(what, above) for what, above in steps if above is not None]
    negative = next(((what, above) for what, above in stated if above < 0), None)
    if negative:
        raise ContractError(
            f"{where} is to {negative[0]} above {negative[1]} rows.", fix="state a number of rows, or a share below 1"
        )
    for (mild, low), (hard, high) in pairwise(stated):
        if low > high and (low < 1) == (high < 1):
            raise ContractError(f"{where} is to {hard} above {high} and to {mild} above {low}.", fix="swap the two")
