"""Expected bands: what a number of a partition usually is, from the partitions before it. Arithmetic only; no queries.

Robust statistics: the median and the median absolute deviation (MAD) of earlier partitions, which one odd day does not
move. Days are compared with the same weekday where there are enough of them. 1.4826 × MAD estimates a standard
deviation (Rousseeuw and Croux, 1993).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from statistics import median

from data_platform.contracts.measures import shown
from data_platform.contracts.partitioning import Partitioning, by

LEARNING = 8  # earlier partitions without which nothing is judged
WEEKDAYS = 16  # of the same weekday, at most
RECENT = 28  # partitions of any weekday, at most
DEVIATIONS = 5.0
RELATIVE = 0.1  # a band is never narrower than this share of the median to each side
ESTIMATED = 0.2  # nor than this one for counts that the engine estimates
ABSOLUTE = {
    "lag_hours": 1.0,
    "null_rate": 0.02,
    "completeness": 0.02,
    "share_kept": 0.02,
    "distinct_count": 2.0,
    "row_count": 5.0,
}
DAILY = by("day", "day")
NAMES = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True)
class Band:
    """Both ends belong to it."""

    low: float
    high: float


@dataclass(frozen=True)
class Unusual:
    """A number outside its band; `basis` says in words what the band is made of."""

    measure: str
    value: float
    band: Band
    basis: str


@dataclass
class History:
    """Numbers by partition key, in time's order of the keys. `add` what is judged, so that a range judges its own days
    by those before them."""

    by_key: dict[str, Mapping[str, float]] = field(default_factory=dict)
    partitioning: Partitioning = DAILY

    def __post_init__(self) -> None:
        # By the static parts of the key: moments in order, each with its key.
        self._in_order: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for key in self.by_key:
            self._place(key)

    def add(self, key: str, values: Mapping[str, float]) -> None:
        if key not in self.by_key:
            self._place(key)
        self.by_key[key] = values

    def _place(self, key: str) -> None:
        apart, moment = self._split(key)
        insort(self._in_order.setdefault(apart, []), (moment, key))

    def judge(self, values: Mapping[str, float], key: str) -> list[Unusual] | str:
        """What is unusual about these numbers, or the reason why nobody can say yet."""
        before = self._before(key)
        if len(before) < LEARNING:
            return f"learning: {len(before)} of {LEARNING} earlier partitions"
        alike, plural = self._alike(before, key)
        found = []
        for name, value in values.items():
            basis = self._basis(name, alike)
            if len(basis) < LEARNING:
                continue
            band = band_of(basis, _floor(name, basis))
            if not band.low <= value <= band.high:
                inside = sum(band.low <= known <= band.high for known in basis)
                words = f"{inside} of the last {len(basis)} {plural} had {shown(band.low)} to {shown(band.high)}"
                found.append(Unusual(name, value, band, words))
        return found

    def learning(self, values: Mapping[str, float], key: str) -> list[str]:
        """The numbers of which there are too few earlier ones to judge them by."""
        alike, _ = self._alike(self._before(key), key)
        return [name for name in values if len(self._basis(name, alike)) < LEARNING]

    def _basis(self, name: str, alike: Sequence[str]) -> list[float]:
        return [self.by_key[earlier][name] for earlier in alike if name in self.by_key[earlier]]

    def _before(self, key: str) -> list[str]:
        """Keys of earlier times, of the same value in every dimension that is no time."""
        apart, moment = self._split(key)
        known = self._in_order.get(apart, [])
        return [other for _, other in known[: bisect_left(known, (moment, ""))]]

    def _split(self, key: str) -> tuple[tuple[str, ...], str]:
        """The static parts of a partition key, and its times as text that sorts as they do."""
        ordered = sorted(self.partitioning.dimensions, key=lambda dimension: dimension.column)
        parts = list(zip(ordered, key.split("|"), strict=False))
        times = [part for dimension, part in parts if dimension.grain != "static"]
        return tuple(part for dimension, part in parts if dimension.grain == "static"), "|".join(times)

    def _alike(self, before: Sequence[str], key: str) -> tuple[Sequence[str], str]:
        """The earlier partitions to compare with, and their name in the plural."""
        grains = [dimension.grain for dimension in self.partitioning.dimensions if dimension.grain != "static"]
        if grains != ["day"]:
            return before[-RECENT:], f"{grains[0]}s" if len(grains) == 1 else "partitions"
        weekday = date.fromisoformat(self._split(key)[1]).weekday()
        days = ((earlier, date.fromisoformat(self._split(earlier)[1])) for earlier in reversed(before))
        same = list(islice((earlier for earlier, day in days if day.weekday() == weekday), WEEKDAYS))
        return (same[::-1], NAMES[weekday]) if len(same) >= LEARNING else (before[-RECENT:], "days")


def band_of(values: Sequence[float], floor: float = 0.0) -> Band:
    """The band around the median of these values. Counts, rates and lags do not go below zero."""
    middle = median(values)
    # The MAD of few values is too small as often as not.
    spread = 1.4826 * median(abs(value - middle) for value in values) * (1 + 4 / len(values))
    reach = max(DEVIATIONS * spread, RELATIVE * abs(middle), floor)
    low = middle - reach
    return Band(round(max(low, 0.0) if min(values) >= 0 else low, 4), round(middle + reach, 4))


def _floor(name: str, basis: Sequence[float]) -> float:
    kind = name.rpartition(".")[2]
    return max(ABSOLUTE.get(kind, 0.0), ESTIMATED * abs(median(basis)) if kind == "distinct_count" else 0.0)
