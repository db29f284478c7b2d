"""Direct calls: media flows between caller and model, and Perhop takes part over a sideband."""

from __future__ import annotations

from perhop.call.direct.leg import DirectLeg
from perhop.call.direct.line import DirectLimits, DirectLine
from perhop.call.direct.upstream import DirectAnswer, DirectUpstream

__all__ = ["DirectAnswer", "DirectLeg", "DirectLimits", "DirectLine", "DirectUpstream"]
