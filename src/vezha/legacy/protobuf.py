"""The protobuf messages of Prometheus remote write, declared here from their specification.

Prometheus, `prompb/remote.proto`, `types.proto` (1.0) and `io/prometheus/write/v2/types.proto`
(2.0): only the fields that Vezha reads. `time series` is declared as bytes besides, since the fast
path looks at them unparsed.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto

Declared = dict[str, list[tuple[str, int, int, bool, str]]]
"""name: [(field, number, type, repeated, message type), …]"""
_MESSAGES: Declared = {
    "RawWrite": [
        ("timeseries", 1, _F.TYPE_BYTES, True, ""),
        ("metadata", 3, _F.TYPE_BYTES, True, ""),
    ],
    "Label": [("name", 1, _F.TYPE_STRING, False, ""), ("value", 2, _F.TYPE_STRING, False, "")],
    "Sample": [("value", 1, _F.TYPE_DOUBLE, False, ""), ("timestamp", 2, _F.TYPE_INT64, False, "")],
    "TimeSeries": [
        ("labels", 1, _F.TYPE_MESSAGE, True, "Label"),
        ("samples", 2, _F.TYPE_MESSAGE, True, "Sample"),
        ("exemplars", 3, _F.TYPE_MESSAGE, True, "Exemplar"),
        ("histograms", 4, _F.TYPE_MESSAGE, True, "Histogram"),
    ],
    "Exemplar": [
        ("labels", 1, _F.TYPE_MESSAGE, True, "Label"),
        ("value", 2, _F.TYPE_DOUBLE, False, ""),
        ("timestamp", 3, _F.TYPE_INT64, False, ""),
    ],
    "MetricMetadata": [
        ("type", 1, _F.TYPE_INT32, False, ""),
        ("metric_family_name", 2, _F.TYPE_STRING, False, ""),
        ("help", 4, _F.TYPE_STRING, False, ""),
        ("unit", 5, _F.TYPE_STRING, False, ""),
    ],
    "Exemplar2": [
        ("labels_refs", 1, _F.TYPE_UINT32, True, ""),
        ("value", 2, _F.TYPE_DOUBLE, False, ""),
        ("timestamp", 3, _F.TYPE_INT64, False, ""),
    ],
    "Metadata2": [
        ("type", 1, _F.TYPE_INT32, False, ""),
        ("help_ref", 3, _F.TYPE_UINT32, False, ""),
        ("unit_ref", 4, _F.TYPE_UINT32, False, ""),
    ],
    "Sample2": [
        ("value", 1, _F.TYPE_DOUBLE, False, ""),
        ("timestamp", 2, _F.TYPE_INT64, False, ""),
        ("start_timestamp", 3, _F.TYPE_INT64, False, ""),
    ],
    # one message for both versions; the oneofs of counts are plain fields here
    "Histogram": [
        ("count_int", 1, _F.TYPE_UINT64, False, ""),
        ("count_float", 2, _F.TYPE_DOUBLE, False, ""),
        ("sum", 3, _F.TYPE_DOUBLE, False, ""),
        ("schema", 4, _F.TYPE_SINT32, False, ""),
        ("zero_threshold", 5, _F.TYPE_DOUBLE, False, ""),
        ("zero_count_int", 6, _F.TYPE_UINT64, False, ""),
        ("zero_count_float", 7, _F.TYPE_DOUBLE, False, ""),
        ("negative_spans", 8, _F.TYPE_MESSAGE, True, "BucketSpan"),
        ("negative_deltas", 9, _F.TYPE_SINT64, True, ""),
        ("negative_counts", 10, _F.TYPE_DOUBLE, True, ""),
        ("positive_spans", 11, _F.TYPE_MESSAGE, True, "BucketSpan"),
        ("positive_deltas", 12, _F.TYPE_SINT64, True, ""),
        ("positive_counts", 13, _F.TYPE_DOUBLE, True, ""),
        ("reset_hint", 14, _F.TYPE_INT32, False, ""),
        ("timestamp", 15, _F.TYPE_INT64, False, ""),
        ("custom_values", 16, _F.TYPE_DOUBLE, True, ""),
        ("start_timestamp", 17, _F.TYPE_INT64, False, ""),
    ],
    "BucketSpan": [
        ("offset", 1, _F.TYPE_SINT32, False, ""),
        ("length", 2, _F.TYPE_UINT32, False, ""),
    ],
    "TimeSeries2": [
        ("labels_refs", 1, _F.TYPE_UINT32, True, ""),
        ("samples", 2, _F.TYPE_MESSAGE, True, "Sample2"),
        ("histograms", 3, _F.TYPE_MESSAGE, True, "Histogram"),
        ("exemplars", 4, _F.TYPE_MESSAGE, True, "Exemplar2"),
        ("metadata", 5, _F.TYPE_MESSAGE, False, "Metadata2"),
        ("created_timestamp", 6, _F.TYPE_INT64, False, ""),
    ],
    "Request2": [
        ("symbols", 4, _F.TYPE_STRING, True, ""),
        ("timeseries", 5, _F.TYPE_MESSAGE, True, "TimeSeries2"),
    ],
    "WriteRequest": [("timeseries", 1, _F.TYPE_MESSAGE, True, "TimeSeries")],
}


def declared(name: str, messages: Declared) -> dict[str, Any]:
    """Classes of messages, declared as a file of that name."""
    package = f"vezha.legacy.{name}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"vezha/legacy/{name}.proto", package=package, syntax="proto3"
    )
    for title, fields in messages.items():
        message = file.message_type.add(name=title)
        for field, number, kind, repeated, type_name in fields:
            message.field.add(
                name=field,
                number=number,
                type=kind,
                label=_F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL,
                type_name=f".{package}.{type_name}" if type_name else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        title: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{title}"))
        for title in messages
    }


_CLASSES = declared("remote_write", _MESSAGES)
RawWrite: Any = _CLASSES["RawWrite"]
TimeSeries: Any = _CLASSES["TimeSeries"]
MetricMetadata: Any = _CLASSES["MetricMetadata"]
WriteRequest: Any = _CLASSES["WriteRequest"]
Request2: Any = _CLASSES["Request2"]
