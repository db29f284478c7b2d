"""Perhop: the right transport on every hop of a voice-agent call."""
