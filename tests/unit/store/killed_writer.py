"""A process that writes to a store until it is killed, and prints what was acknowledged.

Run by `test_store_killed.py`: `python killed_writer.py FOLDER FIRST_SEQ`.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from tests.unit.store.small_stretches import small_stretches

from vezha.model.labels import metric
from vezha.store import Store, StoreSettings
from vezha.wire.frame import pack_frame
from vezha.world import World

HOSTS, SERIES, T0_MS = 20, 10, 1_790_000_000_000
LATE_MS = 3_600_500  # never the time of another frame


class FastClock:
    """Time runs fast, so that windows end often."""

    def __init__(self, seq: int) -> None:
        self.seq = seq

    def now(self) -> float:
        return T0_MS / 1000 + self.seq

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def value_of(host: int, seq: int, series: int) -> float:
    """What the frame *seq* of a host holds."""
    return host * 1000.0 + seq * 0.25 + series


def main(folder: str, first: int) -> None:
    """Write frames from sequence number *first* on, without end."""
    clock = FastClock(first)
    settings = StoreSettings(window_s=30.0, head_folder=f"{folder}/memory", merge_after_s=60.0)
    store = Store.open(f"{folder}/store", World(clock=clock), settings)
    store.put_schema(1, [metric(f"m{i}") for i in range(SERIES)])
    layouts = [store.layout(1, (("instance", f"h{h}"),)) for h in range(HOSTS)]
    origins = [store.origin(f"h{h}/1") for h in range(HOSTS)]
    print("open", flush=True)
    seq = first
    while True:
        clock.seq = seq
        for host in range(HOSTS):
            values = [value_of(host, seq, s) for s in range(SERIES)]
            # every seventh frame is of an hour ago, so that late tiles are made as well
            ts = T0_MS + seq * 1000 - (LATE_MS if seq % 7 == 3 else 0)
            raw = pack_frame(seq, 1, ts, values)
            store.write_frame(layouts[host], origins[host], seq, ts, raw, np.array(values))
        store.commit(store.seal())
        print(seq, flush=True)
        seq += 1


if __name__ == "__main__":
    with small_stretches():  # so that the head is packed, too
        main(sys.argv[1], int(sys.argv[2]))
