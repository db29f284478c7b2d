"""The brain's engines behind OpenAI-compatible HTTP servers: each of the three can be one, independently."""

from __future__ import annotations

from perhop.brain.http.chat import HttpMind, HttpMindProvider
from perhop.brain.http.endpoint import HttpEndpoint, open_client
from perhop.brain.http.speech import HttpSynthesiser
from perhop.brain.http.transcription import HttpRecogniser

__all__ = ["HttpEndpoint", "HttpMind", "HttpMindProvider", "HttpRecogniser", "HttpSynthesiser", "open_client"]
