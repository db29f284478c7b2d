"""Session descriptions: WebRTC offers read, and the values that answers are written with."""

from __future__ import annotations

from perhop.media.sdp.offer import MAX_SDP, Offer
from perhop.media.sdp.values import Codec, CodecName, Direction, Fingerprint, SdpError, Section, Setup

__all__ = ["MAX_SDP", "Codec", "CodecName", "Direction", "Fingerprint", "Offer", "SdpError", "Section", "Setup"]
