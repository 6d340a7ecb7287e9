"""Messages come out of a stream as they went in, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import MachineError
from headrace.server.link.frames import MAX_FRAME, FrameReader, frame


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 200), min_size=1))
def test_any_pieces(messages: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(frame, messages))
    reader, found, at, turn = FrameReader(), list[bytes](), 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        found += reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert found == messages


def test_a_length_beyond_the_bound_is_refused_before_its_content() -> None:
    with pytest.raises(MachineError, match="there are at most"):
        list(FrameReader().feed((MAX_FRAME + 1).to_bytes(4, "little")))
