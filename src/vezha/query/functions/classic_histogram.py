"""histogram_quantile, histogram_quantiles and histogram_fraction."""

from __future__ import annotations

from vezha.query.functions.elementwise import Function

FUNCTIONS: dict[str, Function] = {}
