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
    size = np.abs(values)
    with np.errstate(invalid="ignore"):
        odd = ~(((size >= _PLAIN_MIN) & (size < 1e15)) | (size == 0))
    if odd.any():
        texts = float_texts(np.where(odd, 0.0, values))
        for at in np.flatnonzero(odd).tolist():
            texts[at] = api_float(float(values[at])).encode()
        return texts
    raw = orjson.dumps(np.ascontiguousarray(values), option=_NUMPY)[1:-1] + b","
    raw = raw.replace(b".0,", b",")
    texts = raw.split(b",")
    texts.pop()
    if b"e" in raw:
        for at, text in enumerate(texts):
            if b"e" in text:
                texts[at] = api_float(float(text)).encode()
    return texts


def time_text(ts_ms: int) -> str:
    """Milliseconds as the API prints seconds."""
    sign = "-" if ts_ms < 0 else ""
    whole, part = divmod(abs(ts_ms), 1000)
    return f"{sign}{whole}.{part:03d}" if part else f"{sign}{whole}"
