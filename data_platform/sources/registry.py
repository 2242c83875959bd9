"""Every source of the platform. A source module is found by the name of its contract module; none is listed here."""

from __future__ import annotations

from pathlib import Path

from data_platform.contracts.measures import SOURCE_KINDS
from data_platform.contracts.modules import imported
from data_platform.contracts.registry import contract, contracts
from data_platform.errors import ContractError, UsageError, did_you_mean
from data_platform.sources.declare import Feed, Source

FOLDER = Path(__file__).resolve().parent


def _discover() -> tuple[Source, ...]:
    modules = dict.fromkeys(contract.model.__module__.rpartition(".")[2] for contract in contracts("staging"))
    found = []
    for module in modules:
        path = FOLDER / f"{module}.py"
        if path.exists():
            found.append(imported(f"{__package__}.{module}", path).SOURCE)
    for feed in (feed for source in found for feed in source.feeds):
        check_control(feed)
    return tuple(found)


def check_control(feed: Feed) -> None:
    """Whether a contract that compares with its source has a feed that says what the source states. Raises
    `ContractError`."""
    wanting = next((m.name for m in contract(feed.contract).measures if m.kind in SOURCE_KINDS), None)
    if wanting is not None and feed.control is None:
        raise ContractError(
            f"`{feed.contract}`: the rule `{wanting}` compares with control totals, and its feed states none.",
            fix='state `control="….json"` in the feed: docs/sources.md',
        )


SOURCES: tuple[Source, ...] = _discover()


def feeds() -> tuple[Feed, ...]:
    """All feeds, in order of declaration."""
    return tuple(feed for source in SOURCES for feed in source.feeds)


def feed_of(table: str) -> Feed:
    """The feed of a table, by `orders`, `raw.orders` or `staging.orders`. Raises `UsageError` with the nearest name."""
    name = table.rpartition(".")[2]
    known = {feed.table: feed for feed in feeds()}
    if name not in known:
        raise UsageError(
            f"`{table}` has no feed.{did_you_mean(name, known)}",
            fix=f"name one of {', '.join(sorted(known))}, or declare it: docs/sources.md",
        )
    return known[name]


def source_of(table: str) -> Source:
    """The source that a table's feed belongs to."""
    feed = feed_of(table)
    return next(source for source in SOURCES if feed in source.feeds)
