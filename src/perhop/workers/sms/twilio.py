"""The provider: an HTTP API as Twilio's. It takes forms, and knows no idempotency keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from perhop.config.sms import TwilioSettings
from perhop.tools.guard import Guard, OutgoingError, OutgoingLimits
from perhop.workers.sdk import NotSentError, RefusedError

__all__ = ["BlockedError", "TwilioApi", "signature"]

_BLOCKED = 21610
"""The provider's code for a recipient who told it STOP."""

_TRY_LATER = (401, 403, 429)
"""Nothing was sent: too fast, or credentials that somebody has to set right."""

_MAX_ANSWER = 65_536


class BlockedError(RefusedError):
    """The recipient wants no messages from this number."""


def signature(token: str, url: str, form: Sequence[tuple[str, str]]) -> str:
    """What the provider puts into ``X-Twilio-Signature``: HMAC-SHA1 of the URL and the form's sorted fields.

    Args:
        token: the account's auth token.
        url: as the provider was told it.
    """
    text = url + "".join(f"{name}{value}" for name, value in sorted(set(form)))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


class TwilioApi:
    """Hands messages to the provider.

    Args:
        guard: the way there.
    """

    def __init__(self, settings: TwilioSettings, guard: Guard) -> None:
        base = str(settings.url).rstrip("/")
        self._url = f"{base}/2010-04-01/Accounts/{quote(settings.account, safe='')}/Messages.json"
        credentials = f"{settings.account}:{settings.token.get_secret_value()}".encode()
        self._headers = {
            "authorization": f"Basic {base64.b64encode(credentials).decode()}",
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        self._limits = OutgoingLimits(
            connect_s=min(5.0, settings.timeout_s),
            read_s=settings.timeout_s,
            total_s=settings.timeout_s,
            max_bytes=_MAX_ANSWER,
            max_redirects=0,
        )
        self._guard = guard

    async def send(self, *, to: str, sender: str, text: str, status_url: str | None) -> str | None:
        """Sends one message, once.

        Args:
            status_url: where the provider tells what becomes of it.

        Returns:
            The provider's id of the message.

        Raises:
            NotSentError: nothing was sent; another attempt may work.
            RefusedError: the provider refused it for good.
            OutgoingError: nobody knows whether it was sent, as with every other exception.
        """
        form = {"To": to, "From": sender, "Body": text}
        if status_url is not None:
            form["StatusCallback"] = status_url
        try:
            response = await self._guard.request(
                "POST", self._url, headers=self._headers, content=urlencode(form).encode(), limits=self._limits
            )
        except OutgoingError as error:
            if error.sent:
                raise
            raise NotSentError(str(error)) from None
        answer = _json(response.content)
        if 200 <= response.status_code < 300:
            reference = answer.get("sid")
            return reference[:64] if isinstance(reference, str) else None
        if response.status_code in _TRY_LATER:
            raise NotSentError(f"the provider answered {response.status_code}")
        if 400 <= response.status_code < 500:
            code = answer.get("code")
            known = code if isinstance(code, int) else response.status_code
            raise (BlockedError if known == _BLOCKED else RefusedError)(f"{known}")
        raise _InDoubtError(f"the provider answered {response.status_code}")


class _InDoubtError(Exception):
    """The provider broke while it had the message."""


def _json(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
