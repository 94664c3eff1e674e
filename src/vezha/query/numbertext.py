"""Numbers and times as Prometheus's HTTP API prints them.

Numbers are the shortest that come back, in Go's spelling: plain from 1e-6 up to 1e21, beyond that
with an exponent of at least two digits; `NaN`, `+Inf`, `-Inf`. Times are seconds, with three decimals
where they are not whole.
"""

from __future__ import annotations

import numpy as np
import orjson

from vezha.model.columns import Values
from vezha.query.text import go_float

_PLAIN_MIN, _PLAIN_MAX = 1e-6, 1e21
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def api_float(value: float) -> str:
    """One number as the API prints it."""
    size = abs(value)
    if size == 0 or _PLAIN_MIN <= size < _PLAIN_MAX:
        return go_float(value, "f")
    return go_float(value)  # beyond those it has an exponent, or is not finite


def float_texts(values: Values) -> list[bytes]:
    """float64[n] as the API prints them."""
    if values.size == 0:
        return []
    raw = orjson.dumps(np.ascontiguousarray(values), option=_NUMPY)
    # a comma in place of the bracket at the end: so that every number is followed by one
    texts = (raw[1:-1] + b",").replace(b".0,", b",").split(b",")
    texts.pop()
    if b"e" in raw or b"n" in raw:  # exponents are spelt otherwise here, and null is not finite
        for at, text in enumerate(texts):
            if b"e" in text or text == b"null":
                texts[at] = api_float(float(values[at])).encode()
    return texts


def time_text(ts_ms: int) -> str:
    """Milliseconds as the API prints seconds."""
    sign = "-" if ts_ms < 0 else ""
    whole, part = divmod(abs(ts_ms), 1000)
    return f"{sign}{whole}.{part:03d}" if part else f"{sign}{whole}"
