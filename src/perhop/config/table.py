"""What every table of ``perhop.toml`` is: the base of all settings models, and the names they share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

__all__ = ["Name", "Table"]

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""Of agents, keys, tenants and whatever else people name in settings."""


class Table(BaseModel):
    """Unknown keys are errors, values never change after start, and no error message repeats an input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
