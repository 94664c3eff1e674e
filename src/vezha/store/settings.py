"""Settings of the store. The fields' metadata are their documentation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from vezha.store.policy import Policy

FOR_EVER_S = 1e11


def _about(help_: str, unit: str = "") -> dict[str, Any]:
    return {"help": help_, "unit": unit, "secret": False, "choices": ()}


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How the embedded store keeps samples."""

    window_s: float = field(
        default=120.0,
        metadata=_about("How long samples stay in memory before they become tiles.", "s"),
    )
    head_bytes_max: int = field(
        default=512 << 20,
        metadata=_about("Memory of the head at which it is written out early.", "bytes"),
    )
    head_folder: str = field(
        default="",
        metadata=_about(
            "Folder of the head's shared memory. Empty: `/dev/shm` where it has room, else the "
            "store's own folder."
        ),
    )
    retention_s: float = field(
        default=30 * 86400.0, metadata=_about("How long samples are kept.", "s")
    )
    retention_10s_s: float = field(
        default=2 * 86400.0,
        metadata=_about("How long roll-ups to 10 seconds are kept. 0: none are made.", "s"),
    )
    retention_1m_s: float = field(
        default=90 * 86400.0,
        metadata=_about("How long roll-ups to a minute are kept. 0: none are made.", "s"),
    )
    retention_1h_s: float = field(
        default=730 * 86400.0,
        metadata=_about("How long roll-ups to an hour are kept. 0: none are made.", "s"),
    )
    policies: tuple[Policy, ...] = field(
        default=(),
        metadata=_about("Series that are kept longer or shorter; the first that fits counts."),
    )
    disk_bytes_max: int = field(
        default=0,
        metadata=_about(
            "Most disk for tiles and roll-ups; the oldest samples go first. 0: no limit.", "bytes"
        ),
    )
    cache_bytes_max: int = field(
        default=128 << 20, metadata=_about("Memory for unpacked tiles, per process.", "bytes")
    )
    thin_to_steps: bool = field(
        default=True,
        metadata=_about("Leave out samples that no step of a range query looks at. Exact."),
    )
    roll_ups: bool = field(
        default=True,
        metadata=_about(
            "Make roll-ups (10 s, 1 min, 1 h) of hours that are over, and answer from them where "
            "the answer is the same."
        ),
    )
    merge_after_s: float = field(
        default=900.0,
        metadata=_about("How long after an hour's end its tiles are merged.", "s"),
    )
    series_max: int = field(
        default=5_000_000, metadata=_about("Most series in the store.", "series")
    )
    series_per_source_max: int = field(
        default=20_000,
        metadata=_about("Most series of one instance and job.", "series"),
    )
    background: bool = field(
        default=True,
        metadata=_about("Write tiles on a thread of the store; off: inside `commit`."),
    )

    @property
    def general(self) -> Policy:
        """The policy of all series that fall under no other."""
        return self._of(
            Policy(
                "", (), self.retention_s,
                self.retention_10s_s, self.retention_1m_s, self.retention_1h_s,
            )
        )  # fmt: skip

    def policy(self, name: str) -> Policy:
        """The policy of that name; the general one where there is none."""
        found = [policy for policy in self.policies if policy.name == name]
        return self._of(found[0]) if found else self.general

    def _of(self, policy: Policy) -> Policy:
        if self.roll_ups:
            return policy
        return replace(policy, ten_seconds_s=0.0, minutes_s=0.0, hours_s=0.0)

    @property
    def longest_s(self) -> float:
        """How long samples of any series are kept."""
        return max(self.retention_s, *(p.samples_s for p in self.policies), 0.0)

    @property
    def shortest_s(self) -> float:
        """How long samples of every series are kept."""
        return min([self.retention_s, *(p.samples_s for p in self.policies)])

    def for_ever(self) -> StoreSettings:
        """The same where nothing expires: for commands, as retention is the server's business."""

        def longer(kept_s: float) -> float:
            return FOR_EVER_S if kept_s else 0.0  # what is not made at all is not made here either

        policies = tuple(
            replace(
                p, samples_s=FOR_EVER_S, minutes_s=longer(p.minutes_s), hours_s=longer(p.hours_s)
            )
            for p in self.policies
        )
        return replace(
            self,
            policies=policies,
            retention_s=FOR_EVER_S,
            retention_1m_s=longer(self.retention_1m_s),
            retention_1h_s=longer(self.retention_1h_s),
        )
