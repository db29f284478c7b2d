"""Packets and audio: STUN, SDP, SRTP, RTP, Opus, G.711, reordering, concealment, playout, resampling.

Nothing here opens a socket or reads a clock: bytes and the time (monotonic seconds) come as arguments.
"""
