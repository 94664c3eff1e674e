"""Native histograms: exponential buckets (schemas -4 to 8) and custom buckets (schema -53).

Model and arithmetic follow Prometheus's float histograms. Buckets are dictionaries from index
to count; a bucket that is empty does not stand in them. Index i of an exponential schema s
covers (2**(2**-s * (i-1)), 2**(2**-s * i)]; of custom buckets (bound[i-1], bound[i]].
Values are immutable: operations give new histograms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from vezha.model.native import CUSTOM_SCHEMA
from vezha.query.text import go_float

Buckets = dict[int, float]


class Hint(Enum):
    """What is known about the relation to the sample before."""

    UNKNOWN = "unknown"
    RESET = "reset"
    NOT_RESET = "not_reset"
    GAUGE = "gauge"


class MixedSchemas(Exception):
    """One histogram has exponential, the other custom buckets."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """`count` observations in (lower, upper], with edges in or out as told."""

    lower: float
    upper: float
    count: float
    lower_in: bool = False
    upper_in: bool = True


@dataclass(frozen=True, slots=True)
class Histogram:
    """One native histogram sample with float counts."""

    schema: int = 0
    count: float = 0.0
    sum: float = 0.0
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive: Buckets = field(default_factory=dict)
    negative: Buckets = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    hint: Hint = Hint.UNKNOWN

    # Shape.

    @property
    def custom(self) -> bool:
        """Whether the buckets have custom bounds."""
        return self.schema == CUSTOM_SCHEMA

    def bound(self, index: int) -> float:
        """Upper bound of positive bucket *index*."""
        if self.custom:
            if index < 0:
                return -math.inf
            return self.bounds[index] if index < len(self.bounds) else math.inf
        return exponential_bound(self.schema, index)

    def buckets(self) -> Iterator[Bucket]:
        """All buckets that hold something, from the lowest values to the highest."""
        for index in sorted(self.negative, reverse=True):
            yield Bucket(
                -self.bound(index), -self.bound(index - 1), self.negative[index], True, False
            )
        if self.zero_count != 0:
            yield Bucket(-self.zero_threshold, self.zero_threshold, self.zero_count, True, True)
        for index in sorted(self.positive):
            lower_in = self.custom and index == 0
            yield Bucket(
                self.bound(index - 1), self.bound(index), self.positive[index], lower_in, True
            )

    def __str__(self) -> str:
        parts = [f"count:{go_float(self.count)}", f"sum:{go_float(self.sum)}"]
        for bucket in self.buckets():
            left = "[" if bucket.lower_in else "("
            right = "]" if bucket.upper_in else ")"
            parts.append(
                f"{left}{go_float(bucket.lower)},{go_float(bucket.upper)}{right}:"
                f"{go_float(bucket.count)}"
            )
        return "{" + ", ".join(parts) + "}"

    # Arithmetic.

    def scaled(self, factor: float) -> Histogram:
        """All counts and the sum times *factor*; a negative factor makes a gauge of it."""
        return replace(
            self,
            count=self.count * factor,
            sum=self.sum * factor,
            zero_count=self.zero_count * factor,
            positive=_kept({i: c * factor for i, c in self.positive.items()}),
            negative=_kept({i: c * factor for i, c in self.negative.items()}),
            hint=Hint.GAUGE if factor < 0 else self.hint,
        )

    def divided(self, by: float) -> Histogram:
        """All counts and the sum over *by*; over 0 there are no buckets left."""
        if by == 0:
            return replace(
                self, count=divide(self.count, by), sum=divide(self.sum, by),
                zero_count=divide(self.zero_count, by), positive={}, negative={},
                hint=self.hint,
            )  # fmt: skip
        out = replace(
            self,
            count=self.count / by,
            sum=self.sum / by,
            zero_count=self.zero_count / by,
            positive=_kept({i: c / by for i, c in self.positive.items()}),
            negative=_kept({i: c / by for i, c in self.negative.items()}),
        )
        return replace(out, hint=Hint.GAUGE) if by < 0 else out

    def plus(self, other: Histogram) -> Combined:
        """The sum of two histograms. Raises MixedSchemas."""
        return combined(self, other, 1.0)

    def minus(self, other: Histogram) -> Combined:
        """The difference. Raises MixedSchemas."""
        return combined(self, other, -1.0)

    def with_hint(self, hint: Hint) -> Histogram:
        """The same with another hint."""
        return self if self.hint is hint else replace(self, hint=hint)

    def coarser(self, schema: int) -> Histogram:
        """The same observations at a lower resolution."""
        if self.custom or schema >= self.schema:
            return self
        shift = self.schema - schema
        return replace(
            self,
            schema=schema,
            positive=_coarser(self.positive, shift),
            negative=_coarser(self.negative, shift),
        )

    def rebounded(self, bounds: tuple[float, ...]) -> Histogram:
        """Custom buckets merged to *bounds*, each of which must be a bound of ours."""
        if bounds == self.bounds:
            return self
        merged: Buckets = {}
        for index, count in self.positive.items():
            upper = self.bound(index)
            target = next((i for i, b in enumerate(bounds) if b >= upper), len(bounds))
            merged[target] = merged.get(target, 0.0) + count
        return replace(self, bounds=bounds, positive=_kept(merged))

    def with_zero_threshold(self, threshold: float) -> Histogram:
        """The same with a zero bucket of at least *threshold*, taking in small buckets."""
        if threshold <= self.zero_threshold:
            return self
        while True:
            widest = threshold
            for index in (*self.positive, *self.negative):
                if self.bound(index - 1) < widest < self.bound(index):
                    widest = self.bound(index)  # a bucket is swallowed whole
            if widest == threshold:
                break
            threshold = widest
        zero = self.zero_count
        keep: list[Buckets] = []
        for buckets in (self.positive, self.negative):
            rest: Buckets = {}
            for index, count in buckets.items():
                if self.bound(index) <= threshold:
                    zero += count
                else:
                    rest[index] = count
            keep.append(rest)
        return replace(
            self, zero_threshold=threshold, zero_count=zero, positive=keep[0], negative=keep[1]
        )

    # Comparison.

    def same(self, other: Histogram) -> bool:
        """Whether both hold the same observations (hints aside)."""
        return (
            self.schema == other.schema
            and _equal(self.count, other.count)
            and _equal(self.sum, other.sum)
            and self.zero_threshold == other.zero_threshold
            and _equal(self.zero_count, other.zero_count)
            and self.bounds == other.bounds
            and _equal_buckets(self.positive, other.positive)
            and _equal_buckets(self.negative, other.negative)
        )

    def reset_since(self, previous: Histogram) -> bool:
        """Whether a counter was reset between *previous* and this one."""
        if self.hint is Hint.RESET:
            return True
        if self.hint is Hint.NOT_RESET:
            return False
        return self.fell_below(previous)

    def fell_below(self, previous: Histogram) -> bool:
        """Whether anything in this one is smaller than in *previous*."""
        if self.count < previous.count:
            return True
        if self.custom != previous.custom:
            return True
        here, before = self, previous
        if self.custom:
            if self.bounds != previous.bounds:
                shared = shared_bounds(self.bounds, previous.bounds)
                here, before = self.rebounded(shared), previous.rebounded(shared)
        else:
            if self.schema > previous.schema:
                return True
            before = previous.coarser(self.schema)
            if self.zero_threshold < previous.zero_threshold:
                return True
            widened = before.with_zero_threshold(self.zero_threshold)
            if widened.zero_threshold != self.zero_threshold:
                return True
            before = widened
            if here.zero_count < before.zero_count:
                return True
        return any(here.positive.get(i, 0.0) < c for i, c in before.positive.items()) or any(
            here.negative.get(i, 0.0) < c for i, c in before.negative.items()
        )


@dataclass(frozen=True, slots=True)
class Combined:
    """A sum or difference; `collision`: one was known reset, the other known not to be;
    `reconciled`: custom bounds differed and were merged."""

    histogram: Histogram
    collision: bool
    reconciled: bool


def combined(a: Histogram, b: Histogram, sign: float) -> Combined:
    """a + sign * b. Raises MixedSchemas."""
    if a.custom != b.custom:
        raise MixedSchemas
    reconciled = False
    if a.custom:
        if a.bounds != b.bounds:
            reconciled = True
            shared = shared_bounds(a.bounds, b.bounds)
            a, b = a.rebounded(shared), b.rebounded(shared)
    else:
        schema = min(a.schema, b.schema)
        a, b = a.coarser(schema), b.coarser(schema)
        a, b = _same_zero(a, b)
    hint, collision = _joined_hint(a.hint, b.hint)
    total = replace(
        a,
        count=a.count + sign * b.count,
        sum=a.sum + sign * b.sum,
        zero_count=a.zero_count + sign * b.zero_count,
        positive=_added(a.positive, b.positive, sign),
        negative=_added(a.negative, b.negative, sign),
        hint=hint,
    )
    return Combined(total, collision, reconciled)


def added_up(members: Sequence[Histogram], mean: bool) -> Combined:
    """The compensated sum or mean of one or more histograms. Raises MixedSchemas."""
    first = members[0]
    if any(member.custom != first.custom for member in members):
        raise MixedSchemas
    hint = first.hint
    for member in members[1:]:
        hint, _ = _joined_hint(hint, member.hint)
    hints = {member.hint for member in members}
    reconciled = False
    if first.custom:
        bounds = first.bounds
        for member in members[1:]:
            if member.bounds != bounds:
                reconciled = True
                bounds = shared_bounds(bounds, member.bounds)
        members = [member.rebounded(bounds) for member in members]
    else:
        schema = min(member.schema for member in members)
        members = [member.coarser(schema) for member in members]
        members = _all_same_zero(members)
    divisor = float(len(members)) if mean else 1.0
    total = replace(
        members[0],
        count=_sum((m.count for m in members), divisor),
        sum=_sum((m.sum for m in members), divisor),
        zero_count=_sum((m.zero_count for m in members), divisor),
        positive=_sum_buckets([m.positive for m in members], divisor),
        negative=_sum_buckets([m.negative for m in members], divisor),
        hint=hint,
    )
    return Combined(total, {Hint.RESET, Hint.NOT_RESET} <= hints, reconciled)


def _all_same_zero(members: Sequence[Histogram]) -> Sequence[Histogram]:
    while True:
        widest = max(member.zero_threshold for member in members)
        if all(member.zero_threshold == widest for member in members):
            return members
        members = [member.with_zero_threshold(widest) for member in members]


def _sum(terms: Iterable[float], divisor: float) -> float:
    """Neumaier's sum over *divisor*; terms are divided first where the sum would overflow."""
    items = list(terms)
    total = _neumaier(items)
    if math.isinf(total) and not any(math.isinf(item) for item in items):
        return _neumaier([item / divisor for item in items])
    return total / divisor


def _neumaier(items: Sequence[float]) -> float:
    total, lost = 0.0, 0.0
    for item in items:
        added = total + item
        if math.isinf(added):
            lost = 0.0
        elif abs(total) >= abs(item):
            lost += (total - added) + item
        else:
            lost += (item - added) + total
        total = added
    return total if math.isinf(total) else total + lost


def _sum_buckets(columns: Sequence[Buckets], divisor: float) -> Buckets:
    indexes = sorted({index for column in columns for index in column})
    return _kept({i: _sum((column.get(i, 0.0) for column in columns), divisor) for i in indexes})


def _same_zero(a: Histogram, b: Histogram) -> tuple[Histogram, Histogram]:
    while a.zero_threshold != b.zero_threshold:
        if a.zero_threshold < b.zero_threshold:
            a = a.with_zero_threshold(b.zero_threshold)
        else:
            b = b.with_zero_threshold(a.zero_threshold)
    return a, b


def _joined_hint(a: Hint, b: Hint) -> tuple[Hint, bool]:
    if a is b:
        return a, False
    if Hint.GAUGE in (a, b):
        return Hint.GAUGE, False
    if Hint.UNKNOWN in (a, b):
        return Hint.UNKNOWN, False
    return Hint.UNKNOWN, True


def exponential_bound(schema: int, index: int) -> float:
    """Upper bound of bucket *index* of an exponential schema."""
    if schema <= 0:
        power = index * 2 ** (-schema)
        if power > 1024:
            return math.inf
        if power == 1024:
            return math.ldexp(1.0, 1023) * 1.9999999999999998
        return math.ldexp(1.0, power) if power > -1100 else 0.0
    parts = 2**schema
    whole, part = divmod(index, parts)
    if whole > 1024 or (whole == 1024 and part > 0):
        return math.inf
    if whole == 1024:
        return math.ldexp(1.0, 1023) * 1.9999999999999998
    return math.ldexp(2.0 ** (part / parts), whole) if whole > -1100 else 0.0


def shared_bounds(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    """Bounds that both have."""
    other = set(b)
    return tuple(bound for bound in a if bound in other)


def _coarser(buckets: Buckets, shift: int) -> Buckets:
    out: Buckets = {}
    for index, count in buckets.items():
        target = ((index - 1) >> shift) + 1
        out[target] = out.get(target, 0.0) + count
    return _kept(out)


def _added(a: Buckets, b: Buckets, sign: float) -> Buckets:
    out = dict(a)
    for index, count in b.items():
        out[index] = out.get(index, 0.0) + sign * count
    return _kept(out)


def _kept(buckets: Buckets) -> Buckets:
    return {index: count for index, count in buckets.items() if count != 0}


def _equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _equal_buckets(a: Buckets, b: Buckets) -> bool:
    return a.keys() == b.keys() and all(_equal(count, b[index]) for index, count in a.items())


def divide(a: float, b: float) -> float:
    """a / b as IEEE 754 has it."""
    if b != 0:
        return a / b
    if a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)
