"""Warnings and infos about a result, each with the place in the query that it is about."""

from __future__ import annotations

from vezha.query.ast import Node
from vezha.query.errors import position
from vezha.query.text import go_float, go_quote

ANNOTATIONS_MAX = 100
"""Annotations of one result; more are counted, not kept."""


class Annotations:
    """Collects the annotations of one query, each once, in order of appearance."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._warnings: dict[str, None] = {}
        self._infos: dict[str, None] = {}

    @property
    def warnings(self) -> list[str]:
        return list(self._warnings)

    @property
    def infos(self) -> list[str]:
        return list(self._infos)

    def _place(self, node: Node) -> str:
        line, column = position(self._query, node.start)
        return f"({line}:{column})"

    def warn(self, message: str, node: Node) -> None:
        """Something is wrong with the query or the data; results may be missing."""
        if len(self._warnings) < ANNOTATIONS_MAX:
            self._warnings[f"PromQL warning: {message} {self._place(node)}"] = None

    def info(self, message: str, node: Node) -> None:
        """Something may be not as meant; the result stands."""
        if len(self._infos) < ANNOTATIONS_MAX:
            self._infos[f"PromQL info: {message} {self._place(node)}"] = None

    def missing(self, message: str) -> None:
        """A source could not give all that was asked for."""
        if len(self._warnings) < ANNOTATIONS_MAX:
            self._warnings[message] = None

    # The texts, worded as Prometheus words them.

    def invalid_quantile(self, q: float, node: Node) -> None:
        self.warn(f"quantile value should be between 0 and 1, got {go_float(q)}", node)

    def invalid_ratio(self, ratio: float, to: float, node: Node) -> None:
        self.warn(
            f"ratio value should be between -1 and 1, got {go_float(ratio)}, "
            f"capping to {go_float(to)}",
            node,
        )

    def bad_bucket_label(self, name: str, label: str, node: Node) -> None:
        self.warn(
            f'bucket label "le" is missing or has a malformed value of {go_quote(label)}'
            f"{_metric(name)}",
            node,
        )

    def mixed_floats_histograms(self, name: str, node: Node) -> None:
        self.warn(f"encountered a mix of histograms and floats for{_metric(name)[4:]}", node)

    def mixed_classic_native(self, name: str, node: Node) -> None:
        self.warn(f"vector contains a mix of classic and native histograms{_metric(name)}", node)

    def not_counter(self, name: str, node: Node) -> None:
        self.warn(f"this native histogram metric is not a counter: {go_quote(name)}", node)

    def not_gauge(self, name: str, node: Node) -> None:
        self.warn(f"this native histogram metric is not a gauge: {go_quote(name)}", node)

    def mixed_exponential_custom(self, name: str, node: Node) -> None:
        self.warn(
            "vector contains a mix of histograms with exponential and custom buckets schemas"
            f"{_metric(name)}",
            node,
        )

    def mixed_in_aggregation(self, node: Node) -> None:
        self.warn("encountered a mix of histograms and floats for aggregation", node)

    def incompatible_types(self, left: str, op: str, right: str, node: Node) -> None:
        self.info(
            f"incompatible sample types encountered for binary operator {go_quote(op)}: "
            f"{left} {op} {right}",
            node,
        )

    def incompatible_bucket_layout(self, op: str, node: Node) -> None:
        self.warn(f"incompatible bucket layout encountered for binary operator {op}", node)

    def possible_non_counter(self, name: str, node: Node) -> None:
        self.info(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
            f"{go_quote(name)}",
            node,
        )

    def forced_monotonicity(self, name: str, node: Node) -> None:
        self.info(
            "input to histogram_quantile needed to be fixed for monotonicity (see "
            "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
            f"{_metric(name)}",
            node,
        )

    def histogram_ignored(self, what: str, node: Node) -> None:
        self.info(f"ignored histogram in {what} aggregation", node)

    def histogram_ignored_in_range(self, name: str, node: Node) -> None:
        self.info(
            f"ignored histograms in a range containing both floats and histograms{_metric(name)}",
            node,
        )

    def mismatched_custom_buckets(self, operation: str, node: Node) -> None:
        self.info(f"mismatched custom buckets were reconciled during {operation}", node)

    def counter_reset_collision(self, operation: str, node: Node) -> None:
        self.warn(f"conflicting counter resets during histogram {operation}", node)

    def native_quantile_nan(self, name: str, node: Node) -> None:
        self.info(
            f"input to histogram_quantile has NaN observations, result is NaN{_metric(name)}",
            node,
        )

    def native_quantile_skewed(self, name: str, node: Node) -> None:
        self.info(
            "input to histogram_quantile has NaN observations, result is skewed higher"
            f"{_metric(name)}",
            node,
        )

    def native_fraction_nans(self, name: str, node: Node) -> None:
        self.info(
            "input to histogram_fraction has NaN observations, which are excluded from all "
            f"fractions{_metric(name)}",
            node,
        )


def _metric(name: str) -> str:
    return f" for metric name {go_quote(name)}" if name else ""
