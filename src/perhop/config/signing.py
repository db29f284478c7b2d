"""Secrets that webhooks are signed with."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr

__all__ = ["SigningSecret"]

_SHAPE = re.compile(r"whsec_[A-Za-z0-9+/]{32,}={0,2}")


def _can_sign(secret: SecretStr) -> SecretStr:
    if not _SHAPE.fullmatch(secret.get_secret_value()):
        raise ValueError(
            "must be 'whsec_' and the base64 of at least 24 bytes; make one with: echo whsec_$(openssl rand -base64 32)"
        )
    return secret


SigningSecret = Annotated[SecretStr, AfterValidator(_can_sign)]
"""``whsec_`` and the base64 of at least 24 random bytes."""
