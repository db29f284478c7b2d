"""STUN against the vectors of RFC 5769, against aioice, and against nonsense."""

from __future__ import annotations

import aioice.stun
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perhop.media import stun
from perhop.media.stun import Attribute, MessageClass, StunError, StunMessage

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"

# RFC 5769 section 2.1; the USERNAME is padded with spaces on purpose.
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
# Section 2.2.
RESPONSE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
# Section 2.3.
RESPONSE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)


def judge(data: bytes, key: bytes) -> aioice.stun.Message:
    """What aioice makes of a message, its integrity checked."""
    message = aioice.stun.parse_message(data)
    assert message.check_message_integrity(key)
    return message


def request(**changes: object) -> bytes:
    arguments: dict[str, object] = {
        "transaction_id": bytes(12),
        "username": "there:here",
        "key": b"secret",
        "priority": 5,
        "tie_breaker": 9,
        **changes,
    }
    return stun.binding_request(**arguments)  # type: ignore[arg-type]


def test_the_rfc_request_is_understood() -> None:
    message = StunMessage.parse(REQUEST)
    assert message.is_binding_request
    assert message.username == ("evtj", "h6vY")
    assert message.attributes[Attribute.PRIORITY] == bytes.fromhex("6e0001ff")
    assert message.verify(PASSWORD)
    assert not message.verify(PASSWORD + b"x")
    assert not message.use_candidate
    assert message.unknown_required == ()


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (RESPONSE_IPV4, ("192.0.2.1", 32853)),
        (RESPONSE_IPV6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
    ],
)
def test_the_rfc_responses_are_understood(data: bytes, address: tuple[str, int]) -> None:
    message = StunMessage.parse(data)
    assert message.message_class is MessageClass.SUCCESS
    assert message.verify(PASSWORD)
    assert message.mapped_address() == address


@pytest.mark.parametrize("host", ["203.0.113.9", "2001:db8::5", "::ffff:203.0.113.9"])
def test_aioice_reads_our_success(host: str) -> None:
    answer = stun.binding_success(StunMessage.parse(REQUEST), host=host, port=4711, key=PASSWORD)
    judged = judge(answer, PASSWORD)
    assert judged.message_class is aioice.stun.Class.RESPONSE
    assert judged.attributes["XOR-MAPPED-ADDRESS"] == (host.removeprefix("::ffff:"), 4711)
    assert judged.transaction_id == StunMessage.parse(REQUEST).transaction_id


def test_aioice_reads_our_request_and_we_read_its() -> None:
    judged = judge(request(nominate=True), b"secret")
    assert judged.attributes["USERNAME"] == "there:here"
    assert judged.attributes["ICE-CONTROLLING"] == 9
    assert "USE-CANDIDATE" in judged.attributes

    theirs = aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST)
    theirs.attributes["USERNAME"] = "here:there"
    theirs.attributes["ICE-CONTROLLED"] = 77
    theirs.add_message_integrity(b"secret")
    message = StunMessage.parse(bytes(theirs))
    assert message.verify(b"secret")
    assert message.username == ("here", "there")
    assert Attribute.ICE_CONTROLLED in message.attributes


def test_errors_carry_their_code_and_the_attributes_not_understood() -> None:
    error = stun.binding_error(StunMessage.parse(REQUEST), 420, "Unknown Attribute", key=PASSWORD, unknown=[0x7777])
    judged = judge(error, PASSWORD)
    assert judged.attributes["ERROR-CODE"] == (420, "Unknown Attribute")
    message = StunMessage.parse(error)
    assert message.error_code() == 420
    assert message.attributes[Attribute.UNKNOWN_ATTRIBUTES] == b"\x77\x77"


def test_what_follows_the_integrity_attribute_is_not_believed() -> None:
    plain = request()
    integrity_end = StunMessage.parse(plain).integrity_at + 24
    forged = plain[:integrity_end] + bytes.fromhex("00250000")  # USE-CANDIDATE
    forged = forged[:2] + (len(forged) - 20).to_bytes(2, "big") + forged[4:]
    message = StunMessage.parse(forged)
    assert not message.use_candidate
    assert message.verify(b"secret")


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        REQUEST[:19],
        REQUEST[:-1],
        REQUEST[:4] + b"\x00\x00\x00\x00" + REQUEST[8:],
        REQUEST[:-1] + b"\x00",
        REQUEST + bytes(4),
        bytes([REQUEST[0] | 0x40]) + REQUEST[1:],
        REQUEST[:20] + b"\x80\x22\xff\xff" + REQUEST[24:],
    ],
    ids=["empty", "short", "cut", "no cookie", "wrong fingerprint", "too long", "no STUN bits", "attribute too long"],
)
def test_damaged_messages_are_refused(damage: bytes) -> None:
    with pytest.raises(StunError):
        StunMessage.parse(damage)


@given(st.binary(max_size=200))
@example(b"\x00\x01\x00\x04!\x12\xa4B" + bytes(12) + b"\x00\x08\x00\x00")
def test_nothing_but_a_stun_error_comes_of_nonsense(data: bytes) -> None:
    for attempt in (data, b"\x00\x01" + len(data).to_bytes(2, "big") + stun.MAGIC_COOKIE + bytes(12) + data):
        try:
            message = StunMessage.parse(attempt)
        except StunError:
            continue
        assert not message.verify(b"key")
        _ = message.username, message.unknown_required, message.error_code(), message.mapped_address()


@given(st.data())
def test_a_changed_bit_is_noticed(data: st.DataObject) -> None:
    original = request(nominate=True)
    protected = len(original) - 8  # FINGERPRINT, which comes last, guards nothing against who can compute it
    position = data.draw(st.integers(0, protected * 8 - 1))
    changed = bytearray(original)
    changed[position // 8] ^= 1 << position % 8
    try:
        message = StunMessage.parse(bytes(changed))
    except StunError:
        return
    assert not message.verify(b"secret")
