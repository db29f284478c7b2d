"""Reading offers: what browsers send is understood, what cannot work is refused, nonsense never crashes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.media.offers import CHROME, DATA_ONLY, FIREFOX_WITH_VIDEO, G711_PHONE

from perhop.media.ice import IceCredentials
from perhop.media.sdp import MAX_SDP, Direction, Offer, SdpError

OFFERS = [CHROME, FIREFOX_WITH_VIDEO, DATA_ONLY, G711_PHONE]


def test_an_offer_of_chrome_is_understood() -> None:
    offer = Offer.parse(CHROME)
    assert offer.audio is offer.sections[0]
    assert offer.data is offer.sections[1]
    assert offer.bundled
    assert offer.ice == IceCredentials("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert offer.setup == "actpass"
    assert str(offer.fingerprints[0]).startswith("sha-256 AB:AB:")
    assert offer.codec is not None
    assert (offer.codec.name, offer.codec.payload_type, offer.codec.clock_rate) == ("opus", 111, 48000)
    assert offer.codec.parameters == {"minptime": "10", "useinbandfec": "1"}
    assert [codec.payload_type for codec in offer.audio.codecs] == [111, 0, 8]
    assert (offer.data.sctp_port, offer.data.max_message_size) == (5000, 262144)


def test_video_and_what_the_offerer_rejected_are_passed_over() -> None:
    offer = Offer.parse(FIREFOX_WITH_VIDEO)
    assert offer.audio is offer.sections[1]
    assert offer.audio.direction is Direction.RECVONLY
    assert offer.data is None
    assert offer.sections[2].rejected
    assert offer.fingerprints[0].algorithm == "sha-256"  # from the session part


def test_a_data_only_offer_of_the_old_form_is_legal() -> None:
    offer = Offer.parse(DATA_ONLY)
    assert offer.audio is None
    assert offer.data is not None
    assert (offer.data.sctp_port, offer.data.max_message_size) == (5000, 65536)
    assert offer.setup == "active"


def test_g711_needs_no_rtpmap_and_the_strongest_hash_counts() -> None:
    offer = Offer.parse(G711_PHONE)
    assert offer.codec is not None
    assert (offer.codec.name, offer.codec.payload_type) == ("pcmu", 0)
    assert [f.algorithm for f in offer.fingerprints] == ["sha-512"]


def test_a_bundled_section_without_a_port_of_its_own_is_meant() -> None:
    text = CHROME.replace("m=application 9", "m=application 0").replace("a=mid:1", "a=mid:1\r\na=bundle-only")
    assert Offer.parse(text).data is not None


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("v=0\r\n", "", "line 1: an SDP starts with v=0"),
        ("s=-\r\n", "nonsense\r\n", "line 3: a line is a letter"),
        ("a=mid:1", "a=mid:0", "used twice"),
        ("opus/48000/2", "opus", "line 23: a=rtpmap is a payload type"),
        ("a=rtcp-mux\r\n", "", "line 8: RTCP must share the port"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", "RTP/AVP is not protected by DTLS"),
        (
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8",
            "m=audio 9 UDP/TLS/RTP/SAVPF 63 9",
            "line 8: this audio section offers",
        ),
        ("m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio nine UDP/TLS/RTP/SAVPF", "line 8: the port is a number"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "m=audio 9", "line 8: an m= line has"),
        ("a=group:BUNDLE 0 1\r\n", "", "must share one transport"),
        ("a=group:BUNDLE 0 1", "a=group:BUNDLE 1", "is not in a=group:BUNDLE"),
        ("a=ice-ufrag:EsAw\r\n", "", "has no a=ice-ufrag"),
        ("P2uYro0UCOQ4zxjKXaWCBui1", "short", "a=ice-pwd has the wrong length"),
        ("sha-256 AB:", "sha-256 XY:", "fingerprint is 32 hex pairs"),
        ("sha-256", "sha-1", "has no a=fingerprint by one of sha-256"),
        ("a=setup:actpass", "a=setup:holdconn", "a=setup is actpass, active or passive"),
        ("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n", "line 5: the offer is ICE-lite"),
        ("a=sctp-port:5000", "a=sctp-port:70000", "a=sctp-port is a number from 1 to 65535"),
        ("a=max-message-size:262144", "a=max-message-size:-1", "a=max-message-size is a number"),
    ],
)
def test_what_cannot_work_is_refused_and_said(old: str, new: str, complaint: str) -> None:
    assert old in CHROME
    with pytest.raises(SdpError) as caught:
        Offer.parse(CHROME.replace(old, new))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1"),
        ("v=0", "no section"),
        ("v=0\r\n" * (MAX_SDP // 5 + 1), "the limit is"),
        ("v=0\r\n" + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 40, "more than 32 sections"),
        ("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "no audio section and no data channel section"),
        ("v=0\r\nm=application 9 UDP/BFCP *\r\n", "no audio section and no data channel section"),
    ],
    ids=["empty", "no section", "too long", "too many sections", "video only", "not a data channel"],
)
def test_offers_of_nothing_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(SdpError, match=complaint):
        Offer.parse(text)


def test_a_message_shows_little_of_the_input_and_nothing_unprintable() -> None:
    with pytest.raises(SdpError) as caught:
        Offer.parse("v=0\r\n" + "\x00" * 10_000)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@settings(max_examples=400)
@given(st.sampled_from(OFFERS), st.data())
def test_damaged_offers_are_read_or_refused(offer: str, data: st.DataObject) -> None:
    lines = offer.split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(lines) - 1))
        action = data.draw(st.sampled_from(["drop", "double", "cut", "replace", "insert"]))
        if action == "drop" and len(lines) > 1:
            del lines[index]
        elif action == "double":
            lines.insert(index, lines[index])
        elif action == "cut":
            lines[index] = lines[index][: data.draw(st.integers(0, len(lines[index])))]
        elif action == "replace":
            lines[index] = data.draw(st.text(max_size=30))
        else:
            at = data.draw(st.integers(0, len(lines[index])))
            lines[index] = lines[index][:at] + data.draw(st.text(min_size=1, max_size=5)) + lines[index][at:]
    try:
        Offer.parse("\r\n".join(lines))
    except SdpError as error:
        assert str(error).startswith("SDP")


@given(st.text(max_size=200))
@example("v=0\nm=audio ² UDP/TLS/RTP/SAVPF 0")  # a digit to str.isdigit, not to int
@example("v=0\nm=application 9 UDP/DTLS/SCTP ٣")
@example("v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=rtpmap:0 opus/99999999999999999999999/2")
def test_nothing_but_an_sdp_error_comes_of_nonsense(text: str) -> None:
    for attempt in (text, "v=0\r\n" + text):
        with contextlib.suppress(SdpError):
            Offer.parse(attempt)
