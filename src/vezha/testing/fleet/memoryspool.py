"""A spool in memory for the socket driver: cheap, bounded, and without a disk.

The real spool is exercised by real agents and by `simulation`; here ten thousand hosts share one
process, so frames wait in a dictionary. What does not fit goes, oldest first, and is counted.
"""

from __future__ import annotations

from vezha.testing.fleet.limits import UNSENT_FRAMES_MAX
from vezha.wire.ranges import Ranges


class MemorySpool:
    """A `SpoolView` that holds frames `first_seq` to `next_seq - 1`, less those durable."""

    __slots__ = ("dropped_frames", "epoch_first_seq", "first_seq", "next_seq", "records")

    def __init__(self, epoch: int = 0) -> None:
        self.epoch_first_seq = self.first_seq = self.next_seq = epoch << 40
        self.records: dict[int, bytes] = {}
        self.dropped_frames = 0

    def append(self, record: bytes) -> None:
        """Keep the frame `next_seq`."""
        self.records[self.next_seq] = record
        self.next_seq += 1
        if len(self.records) > UNSENT_FRAMES_MAX:
            del self.records[next(iter(self.records))]
            self.first_seq = next(iter(self.records))
            self.dropped_frames += 1

    def stored_from(self, seq: int) -> int | None:
        """The smallest stored number >= *seq*, or None."""
        if seq >= self.next_seq:
            return None
        if seq in self.records:
            return seq
        # numbers leap from epoch to epoch, so look among what is there
        return next((stored for stored in self.records if stored >= seq), None)

    def trim(self, durable: Ranges) -> int:
        """Let go of what the server has; how many frames that were."""
        gone = 0
        for seq in list(self.records):
            if seq in durable:
                del self.records[seq]
                gone += 1
            elif gone == 0 and seq > durable.highest:
                break
        self.first_seq = next(iter(self.records), self.next_seq)
        return gone

    def new_epoch(self) -> None:
        """The agent restarted: numbers go on at the next multiple of 2**40."""
        epoch = (self.next_seq >> 40) + 1
        self.epoch_first_seq = self.next_seq = epoch << 40
        self.first_seq = next(iter(self.records), self.next_seq)

    @property
    def size_bytes(self) -> int:
        """Bytes waiting."""
        return sum(map(len, self.records.values()))
