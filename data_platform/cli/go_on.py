"""`data-platform backfill --resume`: which backfill did not end, what is left of it, and the rest of the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import dagster as dg

from data_platform.cli.backfill import Going, load_definitions, report_data, run_and_tell
from data_platform.cli.engine import Report
from data_platform.cli.estimate import show_plan
from data_platform.cli.gaps import ledger_of
from data_platform.cli.home import open_instance
from data_platform.cli.output import Format, emit, note
from data_platform.cli.plan import Plan, make_plan
from data_platform.cli.resume import LOOKED_AT, Begun, alone, begun, left_of, tell_dagster
from data_platform.cli.stale import held_part, stale_part
from data_platform.errors import UsageError
from data_platform.lake.lake import Lake, get_lake
from data_platform.lake.standings import Standings
from data_platform.settings import Settings


@dataclass(frozen=True)
class Left:
    """What is left of a backfill: of its `plan`, and `after` that what its loads lead to; within `whole`, by the ledger
    of `now`. A process that died between its partitions and what they lead to has left only the latter."""

    begun: Begun
    plan: Plan
    after: Plan
    whole: Plan
    now: Standings

    @property
    def size(self) -> int:
        return self.plan.size + self.after.size

    @property
    def shown(self) -> Plan:
        return self.plan if self.plan.size else self.after


def resume_backfill(settings: Settings, backfill_id: str | None, *, dry_run: bool, form: Format) -> None:
    """Goes on with a backfill that did not end, the last one when no id is given, as `backfill_command` does."""
    defs, lake = load_definitions(), get_lake()
    with open_instance(settings) as instance:
        open_ones = [found for found in islice(begun(instance, backfill_id), LOOKED_AT) if not found.ended]
    left = _first_left(defs, lake, open_ones, may_pass_over=backfill_id is None)
    if left is None:
        _say_ended(backfill_id, form)
        return
    found = left.begun
    note(f"Going on with backfill `{found.backfill_id}`: {found.request.command}")
    if dry_run:
        show_plan(left.shown, left.now, form)
        return
    with alone(settings, found.backfill_id):
        with open_instance(settings) as instance:
            (found,) = begun(instance, found.backfill_id)  # another process may have gone on with it until now
            left = _left(defs, lake, found, ledger_of(lake), held=True)
            if found.ended or not left.size:
                _say_ended(found.backfill_id, form)
                return
            tell_dagster(instance, found, left.whole, left.now)
        going = Going(found.request, found.backfill_id, tuple(found.run_ids))
        run_and_tell(settings, defs, left.plan, left.whole, going, form)


def _first_left(defs: dg.Definitions, lake: Lake, found: Sequence[Begun], *, may_pass_over: bool) -> Left | None:
    """What is left of the first backfill of which something is; failing that, the held rows of the first. Raises
    `UsageError` for a selection that fits nothing any more, unless that may be passed over."""
    now, newest = ledger_of(lake), list[Begun]()
    for each in found:
        try:
            left = _left(defs, lake, each, now)
        except UsageError:
            if not may_pass_over:
                raise
            continue
        if left.size:
            return left
        newest.append(each)
    last = [_left(defs, lake, each, now, held=True) for each in newest[:1]]
    return next((left for left in last if left.size), None)


def _left(defs: dg.Definitions, lake: Lake, found: Begun, now: Standings, *, held: bool = False) -> Left:
    """With `held` also the rows that waited for a parent, which any backfill of their table takes along."""
    request = found.request
    whole = make_plan(defs, request.selection, request.start, request.end)
    then = now if request.only is None else ledger_of(lake, until=request.since)
    plan, after = left_of(whole, request, then, now), whole.only({})
    if now.version >= 0 and not plan.size:
        after = stale_part(whole, lake, found.run_ids, ())
        if held and not after.size:
            after = held_part(whole, lake, rows_tell=request.only == "stale")
    return Left(found, plan, after, whole, now)


def _say_ended(backfill_id: str | None, form: Format) -> None:
    emit(report_data(Report(backfill_id or "")), form, [])
    note(f"{f'Backfill `{backfill_id}`' if backfill_id else 'Every backfill'} has ended: nothing is left to do.")
