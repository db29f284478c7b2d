"""WebRTC callers: one UDP port for all of them, ICE-lite, our own RTP path; data channels by aiortc's SCTP."""

from __future__ import annotations
