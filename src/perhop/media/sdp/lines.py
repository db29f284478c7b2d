"""SDP text as numbered lines, and what a line may hold. Every complaint names the line it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping

from perhop.media.sdp.values import SdpError

__all__ = ["MAX_SECTIONS", "Attribute", "Found", "excerpt", "read_integer", "split_sections"]

MAX_SECTIONS = 32

_LINE = re.compile(r"([a-z])=(.*)", re.DOTALL)

Attribute = tuple[int, str, str]
"""Line number, attribute name and value; other lines go by their one letter."""

Found = Mapping[str, tuple[int, str]]
"""Attributes by name: line number and value."""


def split_sections(text: str) -> tuple[list[Attribute], list[list[Attribute]]]:
    """The lines of the session part, and those of each section, its ``m=`` line first.

    Raises:
        SdpError: something is no line of an SDP, or there are no sections or too many.
    """
    session: list[Attribute] = []
    blocks: list[list[Attribute]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").rstrip("\n").split("\n"), 1):
        match = _LINE.fullmatch(line.rstrip("\r "))
        if match is None:
            raise SdpError(f"a line is a letter, '=' and a value, not {excerpt(line)}", line=number)
        letter, value = match[1], match[2]
        if number == 1 and (letter, value) != ("v", "0"):
            raise SdpError(f"an SDP starts with v=0, not {excerpt(line)}", line=1)
        if letter == "m":
            if len(blocks) == MAX_SECTIONS:
                raise SdpError(f"more than {MAX_SECTIONS} sections", line=number)
            blocks.append([(number, "m", value)])
            continue
        name, _, content = value.partition(":") if letter == "a" else (letter, "", value)
        (blocks[-1] if blocks else session).append((number, name, content))
    if not blocks:
        raise SdpError("there is no section (m= line)")
    return session, blocks


def read_integer(text: str, least: int, most: int, what: str, line: int) -> int:
    """The number that this text is.

    Args:
        what: it is, for the message.

    Raises:
        SdpError: it is none, or not from ``least`` to ``most``.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise SdpError(f"{what} is a number from {least} to {most}, not {excerpt(text)}", line=line)
    return int(text)


def excerpt(text: str) -> str:
    """A piece of the input for a message: short, and escaped."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")
