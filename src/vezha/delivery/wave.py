"""Which host goes in which wave. Pure, and the same for the same change and hosts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vezha.delivery.selector import parse_selector
from vezha.delivery.spec import Wave


@dataclass(frozen=True, slots=True)
class Member:
    """A host as waves see it."""

    id: int
    name: str
    labels: Mapping[str, str]


def place(seed: int, host_id: int) -> float:
    """Where in the line a host stands, from 0 to 1: spread over the fleet, and another line for
    each change, so that not always the same hosts are the first."""
    digest = hashlib.blake2b(f"{seed}:{host_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def assign(
    waves: Sequence[Wave], members: Sequence[Member], seed: int
) -> tuple[list[list[Member]], list[Member]]:
    """The members of each wave, in the order of their places, and those that no wave takes."""
    left = sorted(members, key=lambda m: (place(seed, m.id), m.id))
    total, taken_so_far = len(left), 0
    out: list[list[Member]] = []
    for wave in waves:
        taken = _takes(wave, left, total, taken_so_far)
        gone = {m.id for m in taken}
        left = [m for m in left if m.id not in gone]
        taken_so_far += len(taken)
        out.append(taken)
    return out, left


def _takes(wave: Wave, left: Sequence[Member], total: int, before: int) -> list[Member]:
    if wave.hosts:
        wanted = set(wave.hosts)
        return [m for m in left if m.name in wanted]
    fitting = list(left)
    if wave.selector:
        selector = parse_selector(wave.selector)
        fitting = [m for m in left if selector.fits(m.name, m.labels)]
    if wave.count is not None:
        return fitting[: wave.count]
    if wave.percent is not None:
        # at least one host, or the first percent of a small fleet would be nobody's canary
        upto = max(math.floor(total * wave.percent / 100), 1 if before == 0 else 0)
        return fitting[: max(0, upto - before)]
    return fitting
