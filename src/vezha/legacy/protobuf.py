"""The protobuf messages of Prometheus remote write, declared here from their specification.

Prometheus, `prompb/remote.proto`, `types.proto` (1.0) and `io/prometheus/write/v2/types.proto`
(2.0): only the fields that Vezha reads. `time series` is declared as bytes besides, since the fast
path looks at them unparsed.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto

_MESSAGES: dict[str, list[tuple[str, int, int, bool, str]]] = {
    # name: (field, number, type, repeated, message type)
    "RawWrite": [("timeseries", 1, _F.TYPE_BYTES, True, "")],
    "Label": [("name", 1, _F.TYPE_STRING, False, ""), ("value", 2, _F.TYPE_STRING, False, "")],
    "Sample": [("value", 1, _F.TYPE_DOUBLE, False, ""), ("timestamp", 2, _F.TYPE_INT64, False, "")],
    "TimeSeries": [
        ("labels", 1, _F.TYPE_MESSAGE, True, "Label"),
        ("samples", 2, _F.TYPE_MESSAGE, True, "Sample"),
        ("exemplars", 3, _F.TYPE_BYTES, True, ""),
        ("histograms", 4, _F.TYPE_BYTES, True, ""),
    ],
    "TimeSeries2": [
        ("labels_refs", 1, _F.TYPE_UINT32, True, ""),
        ("samples", 2, _F.TYPE_MESSAGE, True, "Sample"),
        ("histograms", 3, _F.TYPE_BYTES, True, ""),
        ("exemplars", 4, _F.TYPE_BYTES, True, ""),
    ],
    "Request2": [
        ("symbols", 4, _F.TYPE_STRING, True, ""),
        ("timeseries", 5, _F.TYPE_MESSAGE, True, "TimeSeries2"),
    ],
    "WriteRequest": [("timeseries", 1, _F.TYPE_MESSAGE, True, "TimeSeries")],
}


def _declare() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="vezha/legacy/remote_write.proto", package="vezha.legacy", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated, type_name in fields:
            message.field.add(
                name=field,
                number=number,
                type=kind,
                label=_F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL,
                type_name=f".vezha.legacy.{type_name}" if type_name else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"vezha.legacy.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _declare()
RawWrite: Any = _CLASSES["RawWrite"]
TimeSeries: Any = _CLASSES["TimeSeries"]
WriteRequest: Any = _CLASSES["WriteRequest"]
Request2: Any = _CLASSES["Request2"]
