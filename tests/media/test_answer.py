"""Answers: what they say to which offer, and that aiortc reads them."""

from __future__ import annotations

import re

import aiortc.sdp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media.offers import CHROME, DATA_ONLY, FIREFOX_WITH_VIDEO, G711_PHONE

from perhop.media.answer import Answer
from perhop.media.ice import IceCredentials
from perhop.media.sdp import Fingerprint, Offer

ANSWER = Answer(
    ice=IceCredentials("ourufrag", "our-password-of-24-chars"),
    fingerprint=Fingerprint("sha-256", bytes(32)),
    addresses=("203.0.113.5", "2001:db8::5"),
    port=8443,
    session_id=17,
    ssrc=4242,
    cname="edge",
)


def sections(offer: str) -> list[str]:
    """The answer's session part and sections."""
    return re.split(r"(?=^m=)", ANSWER.write(Offer.parse(offer)), flags=re.MULTILINE)


def test_chrome_gets_audio_and_data_on_one_transport() -> None:
    session, audio, data = sections(CHROME)
    assert "a=ice-lite\r\n" in session
    assert "a=group:BUNDLE 0 1\r\n" in session
    assert audio.startswith("m=audio 8443 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 203.0.113.5\r\na=mid:0\r\n")
    for line in (
        "a=rtpmap:111 opus/48000/2",
        "a=setup:passive",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=ptime:20",
        "a=ice-ufrag:ourufrag",
        "a=candidate:1 1 udp 2130706431 203.0.113.5 8443 typ host",
        "a=candidate:2 1 udp 2130706175 2001:db8::5 8443 typ host",
        "a=end-of-candidates",
    ):
        assert line + "\r\n" in audio
    assert "maxplaybackrate=24000;stereo=0;useinbandfec=1" in audio
    assert "a=msid:" in audio  # pages take the stream from event.streams[0]
    assert data.startswith("m=application 8443 UDP/DTLS/SCTP webrtc-datachannel\r\n")
    assert "a=sctp-port:5000\r\na=max-message-size:262144\r\n" in data
    assert "candidate" not in data


def test_sections_not_used_keep_their_place_with_port_0() -> None:
    session, video, audio, rejected = sections(FIREFOX_WITH_VIDEO)
    assert "a=group:BUNDLE 1\r\n" in session
    assert video.startswith("m=video 0 UDP/TLS/RTP/SAVPF 120 121\r\n")
    assert "a=mid:0\r\n" in video
    assert rejected.startswith("m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n")
    assert "a=candidate" in audio


@pytest.mark.parametrize(
    ("offered", "answered"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
def test_the_direction_is_mirrored(offered: str, answered: str) -> None:
    _, audio, _ = sections(CHROME.replace("a=sendrecv", f"a={offered}"))
    assert f"a={answered}\r\n" in audio
    assert ("a=msid:" in audio) == (answered in ("sendrecv", "sendonly"))


@pytest.mark.parametrize(
    ("offered", "answered"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")]
)
def test_the_peer_starts_dtls_unless_it_will_not(offered: str, answered: str) -> None:
    _, audio, _ = sections(CHROME.replace("a=setup:actpass", f"a=setup:{offered}"))
    assert f"a=setup:{answered}\r\n" in audio


def test_an_unbundled_phone_gets_g711() -> None:
    session, audio = sections(G711_PHONE)
    assert "BUNDLE" not in session
    assert "a=mid" not in audio
    assert audio.startswith("m=audio 8443 UDP/TLS/RTP/SAVP 0\r\n")
    assert "a=rtpmap:0 PCMU/8000\r\n" in audio


def test_data_only_in_the_old_form_is_answered_in_it() -> None:
    _, data = sections(DATA_ONLY)
    assert data.startswith("m=application 8443 DTLS/SCTP 5000\r\n")
    assert "a=sctpmap:5000 webrtc-datachannel 1024\r\n" in data
    assert "a=candidate" in data


@given(st.sampled_from([CHROME, FIREFOX_WITH_VIDEO, G711_PHONE]))
def test_aiortc_reads_the_answer(offer: str) -> None:
    judged = aiortc.sdp.SessionDescription.parse(ANSWER.write(Offer.parse(offer)))
    assert len(judged.media) == len(Offer.parse(offer).sections)
    used = next(media for media in judged.media if media.port)
    assert used.ice.usernameFragment == "ourufrag"
    assert used.dtls is not None
    assert [candidate.ip for candidate in used.ice_candidates] == ["203.0.113.5", "2001:db8::5"]
    assert used.ice_candidates_complete
