"""Offers as browsers and others write them, shortened where lines repeat."""

from __future__ import annotations

FINGERPRINT = ":".join(["AB"] * 32)

CHROME = f"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS 0d2e1a52
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=ice-options:trickle
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:0d2e1a52 6e1a
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:3735928559 cname:o/i14u9pJrxRKAsu
a=ssrc:3735928559 msid:0d2e1a52 6e1a
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=ice-options:trickle
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
""".replace("\n", "\r\n")

# Attributes at session level, mDNS candidates, the offerer's own rejected section, audio after video.
FIREFOX_WITH_VIDEO = f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 7416312312 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:sha-256 {FINGERPRINT}
a=ice-options:trickle
a=group:BUNDLE 0 1
a=msid-semantic:WMS *
m=video 9 UDP/TLS/RTP/SAVPF 120 121
c=IN IP4 0.0.0.0
a=recvonly
a=ice-pwd:c490fef1e7a1ba7a7b9b2d8f8c2b1a55
a=ice-ufrag:4a799b2e
a=mid:0
a=rtcp-mux
a=rtpmap:120 VP8/90000
a=rtpmap:121 VP9/90000
a=setup:actpass
m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 0.0.0.0
a=candidate:0 1 UDP 2122252543 4e7b9d0e-66a2-4a40-8a3b-7b3c1e7a3b3c.local 51472 typ host
a=recvonly
a=end-of-candidates
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=ice-pwd:c490fef1e7a1ba7a7b9b2d8f8c2b1a55
a=ice-ufrag:4a799b2e
a=mid:1
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:101 telephone-event/8000
a=setup:actpass
m=audio 0 UDP/TLS/RTP/SAVPF 0
c=IN IP4 0.0.0.0
a=inactive
a=mid:2
""".replace("\n", "\r\n")

DATA_ONLY = f"""v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
m=application 9 DTLS/SCTP 5000
c=IN IP4 0.0.0.0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:active
a=sctpmap:5000 webrtc-datachannel 1024
""".replace("\n", "\r\n")

# A phone: one section, no bundle, G.711 by its static types, the DTLS server, a stronger hash as well.
G711_PHONE = f"""v=0
o=phone 1 1 IN IP4 192.0.2.9
s=call
c=IN IP4 192.0.2.9
t=0 0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=fingerprint:SHA-256 {FINGERPRINT.lower()}
a=fingerprint:sha-512 {":".join(["CD"] * 64)}
m=audio 4000 UDP/TLS/RTP/SAVP 18 8 0
a=setup:passive
a=rtcp-mux
a=sendonly
a=ptime:20
"""
