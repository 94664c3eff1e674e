"""Clock synchronisation: adjtimex(2), by ctypes (structure: linux/timex.h)."""

from __future__ import annotations

import ctypes
import os
import sys

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.model.labels import metric

_long = ctypes.c_long
_int = ctypes.c_int


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", _long),
        ("freq", _long),
        ("maxerror", _long),
        ("esterror", _long),
        ("status", _int),
        ("constant", _long),
        ("precision", _long),
        ("tolerance", _long),
        ("time_s", _long),
        ("time_us", _long),
        ("tick", _long),
        ("ppsfreq", _long),
        ("jitter", _long),
        ("shift", _int),
        ("stabil", _long),
        ("jitcnt", _long),
        ("calcnt", _long),
        ("errcnt", _long),
        ("stbcnt", _long),
        ("tai", _int),
        ("reserved", _int * 11),
    )


_STATUS_NANO = 0x2000
_TIME_ERROR = 5
_PPM = 1_000_000.0 * 65536.0
"""Frequencies are parts per million with 16 fractional bits."""
_MICRO = 1e6

_FAMILIES = (
    ("offset_seconds", "gauge", "Offset between the local clock and the reference (s)."),
    ("frequency_adjustment_ratio", "gauge", "Adjustment of the local clock's frequency."),
    ("maxerror_seconds", "gauge", "Largest error (s)."),
    ("estimated_error_seconds", "gauge", "Estimated error (s)."),
    ("status", "gauge", "Status bits."),
    ("loop_time_constant", "gauge", "Time constant of the phase-locked loop."),
    ("tick_seconds", "gauge", "Time between clock ticks (s)."),
    ("pps_frequency_hertz", "gauge", "Frequency of the pulse-per-second signal."),
    ("pps_jitter_seconds", "gauge", "Jitter of the pulse-per-second signal (s)."),
    ("pps_shift_seconds", "gauge", "Calibration interval of the signal (s)."),
    ("pps_stability_hertz", "gauge", "Stability of the signal."),
    ("pps_jitter_total", "counter", "Times the jitter limit was exceeded."),
    ("pps_calibration_total", "counter", "Calibration intervals."),
    ("pps_error_total", "counter", "Calibration errors."),
    ("pps_stability_exceeded_total", "counter", "Times the stability limit was exceeded."),
    ("tai_offset_seconds", "gauge", "Offset of international atomic time (s)."),
    ("sync_status", "gauge", "1 where the clock is synchronised."),
)


class Collector(base.Collector):
    """node_timex_*."""

    families = tuple(Family(f"node_timex_{n}", kind, text) for n, kind, text in _FAMILIES)

    def start(self) -> None:
        if not sys.platform.startswith("linux"):
            raise base.NotHere("adjtimex is Linux's")
        try:
            self._call = ctypes.CDLL(None, use_errno=True).adjtimex
        except (OSError, AttributeError):
            raise base.NotHere("the C library has no adjtimex") from None
        self._timex = _Timex()
        self._argument = ctypes.byref(self._timex)
        self.series = tuple(metric(family.name) for family in self.families)

    def read(self, now: float) -> list[float]:
        timex = self._timex
        timex.modes = 0
        state = self._call(self._argument)
        if state < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "adjtimex")
        units = 1e9 if timex.status & _STATUS_NANO else _MICRO
        return [
            timex.offset / units,
            1.0 + timex.freq / _PPM,
            timex.maxerror / _MICRO,
            timex.esterror / _MICRO,
            float(timex.status),
            float(timex.constant),
            timex.tick / _MICRO,
            timex.ppsfreq / _PPM,
            timex.jitter / units,
            float(timex.shift),
            timex.stabil / _PPM,
            float(timex.jitcnt),
            float(timex.calcnt),
            float(timex.errcnt),
            float(timex.stbcnt),
            float(timex.tai),
            0.0 if state == _TIME_ERROR else 1.0,
        ]
