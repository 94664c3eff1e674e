"""`python -m vezha.testing.fleet --seed 7`: replay one simulated run, or many in a row."""

from __future__ import annotations

import argparse
import logging
import sys
import time

import structlog

from vezha.testing.fleet.simulation import simulate


def main() -> int:
    """0 where every run held what it must."""
    parser = argparse.ArgumentParser(prog="python -m vezha.testing.fleet", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds from there on")
    parser.add_argument("--faults", action="store_true", help="print every trouble")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = time.perf_counter()
    failed = 0
    for seed in range(chosen.seed, chosen.seed + chosen.runs):
        verdict = simulate(seed)
        print(verdict, flush=True)
        if chosen.faults and not verdict.violations:
            print(*(f"  {f}" for f in verdict.faults), sep="\n")
        failed += bool(verdict.violations)
    print(f"{chosen.runs} runs, {failed} failed, {time.perf_counter() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
