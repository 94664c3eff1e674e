"""What is known of a metric besides its samples: its kind, its unit, what it means."""

from __future__ import annotations

from dataclasses import dataclass

METRIC_KINDS = (
    "unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset",
)  # fmt: skip
"""As remote write numbers them (Prometheus, `prompb/types.proto`, MetricMetadata)."""


@dataclass(frozen=True)
class MetricMetadata:
    """`kind` is one of METRIC_KINDS."""

    kind: str = "unknown"
    help: str = ""
    unit: str = ""


def family_of(name: str, kind: str) -> str:
    """The name that metadata of a series' metric is filed under."""
    if kind in ("histogram", "summary"):
        for suffix in ("_bucket", "_count", "_sum"):
            if name.endswith(suffix):
                return name.removesuffix(suffix)
    return name
