"""Prometheus' remote write messages for google.protobuf: the judge of our own encoder.

The descriptors are written out by hand from prometheus/prompb (types.proto, remote.proto, and
io/prometheus/write/v2/types.proto), so that no compiler is needed.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "int32": _Field.TYPE_INT32,
}
# message: field: (number, type, repeated); a type that is not a kind is a message of the same file
_V1 = {
    "Label": {"name": (1, "string", False), "value": (2, "string", False)},
    "Sample": {"value": (1, "double", False), "timestamp": (2, "int64", False)},
    "TimeSeries": {"labels": (1, "Label", True), "samples": (2, "Sample", True)},
    "WriteRequest": {"timeseries": (1, "TimeSeries", True)},
    "LabelMatcher": {
        "type": (1, "int32", False),
        "name": (2, "string", False),
        "value": (3, "string", False),
    },
    "Query": {
        "start_timestamp_ms": (1, "int64", False),
        "end_timestamp_ms": (2, "int64", False),
        "matchers": (3, "LabelMatcher", True),
    },
    "ReadRequest": {
        "queries": (1, "Query", True),
        "accepted_response_types": (2, "int32", True),
    },
    "Chunk": {
        "min_time_ms": (1, "int64", False),
        "max_time_ms": (2, "int64", False),
        "type": (3, "int32", False),
        "data": (4, "bytes", False),
    },
    "ChunkedSeries": {"labels": (1, "Label", True), "chunks": (2, "Chunk", True)},
    "ChunkedReadResponse": {
        "chunked_series": (1, "ChunkedSeries", True),
        "query_index": (2, "int64", False),
    },
}
_V2 = {
    "Sample": {"value": (1, "double", False), "timestamp": (2, "int64", False)},
    "TimeSeries": {"labels_refs": (1, "uint32", True), "samples": (2, "Sample", True)},
    "Request": {"symbols": (4, "string", True), "timeseries": (5, "TimeSeries", True)},
}


def _messages(package: str, layout: dict[str, dict[str, tuple[int, str, bool]]]) -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    for name, fields in layout.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind, repeated) in fields.items():
            field = message.field.add(name=field_name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if kind in _KINDS:
                field.type = _KINDS[kind]
            else:
                field.type = _Field.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in layout
    }


V1 = _messages("prometheus", _V1)
V2 = _messages("io.prometheus.write.v2", _V2)
