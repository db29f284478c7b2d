"""What every table of ``perhop.toml`` is: the base of all settings models, and the names they share."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

__all__ = ["Name", "Port", "Region", "Table", "TimeZone"]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no IANA time zone, such as Europe/Berlin") from None
    return name


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""Of agents, keys, tenants and whatever else people name in settings."""

Port = Annotated[int, Field(ge=0, le=65535)]
"""TCP or UDP; 0 takes any free one."""

Region = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166 code of the country whose telephone numbers are said without a country code."""

TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""IANA name."""


class Table(BaseModel):
    """Unknown keys are errors, values never change after start, and no error message repeats an input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
