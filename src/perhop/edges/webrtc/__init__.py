"""WebRTC callers: one UDP port for all of them, ICE-lite, our own RTP path; data channels by aiortc's SCTP."""

from __future__ import annotations

from perhop.edges.webrtc.edge import EdgeCounters, WebRTCEdge
from perhop.edges.webrtc.leg import WebRTCLeg

__all__ = ["EdgeCounters", "WebRTCEdge", "WebRTCLeg"]
