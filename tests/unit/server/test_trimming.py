"""What was freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vezha.server.trimming import trim_function

_PROGRAM = """
import sys, time
from pathlib import Path
from vezha.server.contour import StopSignal
from vezha.server.trimming import keep_trimmed

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

def made():
    return [bytes(2_000) for _ in range(30_000)]  # 60 MB; too small to be mapped each by itself

everything = made()
full = resident()
del everything[1::2], everything[:-1]
kept = resident()
stop = StopSignal()
keep_trimmed(stop, 0.05)
while resident() > full - 10_000:
    time.sleep(0.05)
stop.set()
print(full, kept, resident())
"""


@pytest.mark.skipif(
    trim_function() is None or not Path("/proc/self/statm").exists(), reason="needs glibc"
)
def test_a_burst_leaves_no_memory_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True, timeout=60
    )
    full, kept, after = map(int, done.stdout.split())
    assert kept > full - 3_000  # pages that only the allocator can use
    assert after < full - 10_000
