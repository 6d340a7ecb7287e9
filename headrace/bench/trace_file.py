"""A traced run in the format of Perfetto's viewer (ui.perfetto.dev): tracks, slices, flow arrows.

The format is Perfetto's own, a sequence of TracePacket messages with TrackEvents, deflated in
blocks as Perfetto's tracing service does. Times start with the recording.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.bench.slices import Mark, Track, tracks
from headrace.bench.trace import TracedRun
from headrace.errors import RequestError

if TYPE_CHECKING:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket

_SEQUENCE = 1
_PROCESS = 1
_PACKETS_A_BLOCK = 4096


def write_trace(run: TracedRun, path: Path) -> None:
    """Write the file.

    Raises:
        RequestError: the `perfetto` package is not installed, or the file cannot be written.
    """
    data = trace_bytes(run)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise RequestError(
            f"the trace cannot be written: {error.strerror}", where=str(path)
        ) from error


def trace_bytes(run: TracedRun) -> bytes:
    """The file's content; raises RequestError if the `perfetto` package is not installed."""
    require_perfetto()
    from perfetto.trace_builder.proto_builder import TraceProtoBuilder

    whole = TraceProtoBuilder()
    packets = _packets(run)
    while block := list(islice(packets, _PACKETS_A_BLOCK)):
        part = TraceProtoBuilder()
        part.trace.packet.extend(block)
        whole.add_packet().compressed_packets = zlib.compress(part.serialize())
    return whole.serialize()


def require_perfetto() -> None:
    """Raises RequestError if the `perfetto` package is not installed."""
    from importlib.util import find_spec

    if find_spec("perfetto") is None:
        raise RequestError(
            "a trace is written with the package perfetto, which is not installed",
            where="--trace",
            hint="pip install 'headrace[bench]'",
        )


def _packets(run: TracedRun) -> Iterator[TracePacket]:
    yield _process(run.model)
    for number, track in enumerate(tracks(run), start=_PROCESS + 1):
        yield _described(track, number)
        for mark in track.marks:
            yield _event(mark, number)


def _process(model: str) -> TracePacket:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackDescriptor

    packet = _packet()
    descriptor = packet.track_descriptor
    descriptor.uuid = _PROCESS
    descriptor.process.pid = os.getpid()
    descriptor.process.process_name = f"headrace {model}"
    descriptor.child_ordering = TrackDescriptor.EXPLICIT
    return packet


def _described(track: Track, number: int) -> TracePacket:
    packet = _packet()
    descriptor = packet.track_descriptor
    descriptor.uuid, descriptor.parent_uuid = number, _PROCESS
    descriptor.name = track.name
    descriptor.sibling_order_rank = number
    return packet


def _event(mark: Mark, track: int) -> TracePacket:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent

    packet = _packet()
    packet.timestamp = mark.at
    event = packet.track_event
    event.track_uuid = track
    event.type = TrackEvent.TYPE_SLICE_BEGIN if mark.begins else TrackEvent.TYPE_SLICE_END
    if mark.begins:
        event.name = mark.name
        event.categories.append(mark.category)
        event.flow_ids.extend(mark.leaving)
        event.terminating_flow_ids.extend(mark.entering)
        for name, value in mark.facts.items():
            note = event.debug_annotations.add()
            note.name = name
            if isinstance(value, int):
                note.int_value = value
            else:
                note.string_value = value
    return packet


def _packet() -> TracePacket:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket

    packet = TracePacket()
    packet.trusted_packet_sequence_id = _SEQUENCE
    return packet
