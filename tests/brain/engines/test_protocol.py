from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perhop.brain.engines.protocol import MAX_FRAME_BYTES, Frame, FrameError, FrameParser, Kind, pack

frames = st.lists(
    st.builds(
        Frame, kind=st.sampled_from(list(Kind)), stream=st.integers(0, 2**32 - 1), payload=st.binary(max_size=300)
    ),
    max_size=12,
)


@given(frames, st.lists(st.integers(1, 40), min_size=1))
def test_frames_survive_any_splitting(sent: list[Frame], sizes: list[int]) -> None:
    wire = b"".join(pack(*frame) for frame in sent)
    parser = FrameParser()
    received: list[Frame] = []
    position = turn = 0
    while position < len(wire):
        size = sizes[turn % len(sizes)]
        received += parser.feed(wire[position : position + size])
        position += size
        turn += 1
    assert received == sent


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for_and_never_anything_else(data: bytes) -> None:
    try:
        received = FrameParser().feed(data)
    except FrameError:
        return
    assert data.startswith(b"".join(pack(*frame) for frame in received))


def test_a_frame_is_given_out_with_its_last_byte() -> None:
    wire = pack(Kind.DATA, 7, b"pcm")
    parser = FrameParser()
    assert parser.feed(wire[:-1]) == []
    assert parser.feed(wire[-1:]) == [Frame(Kind.DATA, 7, b"pcm")]


@pytest.mark.parametrize("length", [0, 4, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_an_impossible_length_is_refused_before_anything_is_stored(length: int) -> None:
    with pytest.raises(FrameError, match="cannot have"):
        FrameParser().feed(length.to_bytes(4, "little"))


def test_an_unknown_kind_is_refused() -> None:
    wire = bytearray(pack(Kind.DATA, 1, b"x"))
    wire[4] = 99
    with pytest.raises(FrameError, match="kind 99"):
        FrameParser().feed(bytes(wire))


def test_a_payload_over_the_limit_is_not_packed() -> None:
    pack(Kind.DATA, 1, bytes(MAX_FRAME_BYTES - 5))
    with pytest.raises(FrameError, match="over the limit"):
        pack(Kind.DATA, 1, bytes(MAX_FRAME_BYTES - 4))
