"""Makes `benchmarks/data/recorded.npz` out of a store: the fast series of one host, a stretch of
whole seconds. Usage: python benchmarks/record.py STATE/store INSTANCE SECONDS"""

from __future__ import annotations

import sys
import time

import numpy as np
from benchmarks.store_data import RECORDED

from vezha.model.columns import Matcher, MatchOp, Selection
from vezha.store import StoreReader


def main() -> None:
    folder, instance, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    reader = StoreReader.open(folder)
    end_ms = int(time.time() * 1000) - 3000
    wanted = Selection(
        (Matcher("instance", MatchOp.EQ, instance),), end_ms - seconds * 1000, end_ms
    )
    data = reader.select(wanted)
    reader.close()
    counts = np.diff(data.offsets)
    full = int(counts.max())
    stamps = None
    rows, names = [], []
    for i in np.flatnonzero(counts == full).tolist():
        low, high = int(data.offsets[i]), int(data.offsets[i + 1])
        ts_ms = data.ts[low:high]
        stamps = ts_ms if stamps is None else stamps
        if np.array_equal(ts_ms, stamps):
            rows.append(data.values[low:high])
            # the machine's own name is nobody's business
            pairs = [(n, v) for n, v in data.labels[i] if n not in ("instance", "job", "nodename")]
            names.append("\x1f".join(f"{n}={v}" for n, v in pairs))
    assert stamps is not None
    RECORDED.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        RECORDED, series=np.array("\n".join(names)), ts_ms=stamps, values=np.array(rows)
    )
    print(f"{len(names)} series x {len(stamps)} samples, {RECORDED.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
