"""What the routes work with; made by the composition root, found by every route under ``app.state``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from perhop.api.addresses import client_address, own_origin, whose_network
from perhop.api.auth import Authenticator, Principal
from perhop.api.client_secrets import ClientSecretStore
from perhop.api.errors import ApiError
from perhop.api.telephones import NoTelephones, TelephoneCalls
from perhop.call.agents import Agent, AgentDirectory, UnknownAgentError
from perhop.call.call import Call
from perhop.call.legs import CallerLeg, EndReason
from perhop.call.line import Line
from perhop.call.manager import CallManager, UnknownModelError
from perhop.config import Settings
from perhop.edges.rate import RateLimiter
from perhop.errors import PerhopError
from perhop.models.direct import DirectModel
from perhop.realtime.errors import ProtocolError
from perhop.registry import Registry
from perhop.store import Database
from perhop.telemetry.metrics import Metrics

__all__ = ["AnsweredLeg", "Services", "SignallingEdge", "Use", "choose_agent", "initial_session"]


RETRY_AFTER_S = 5
"""What callers are told to wait who come while the process ends."""


class AnsweredLeg(CallerLeg, Protocol):
    """A caller leg that came of an SDP offer."""

    @property
    def answer_sdp(self) -> str: ...


class SignallingEdge(Protocol):
    """The WebRTC edge, as far as HTTP needs it."""

    def answer(self, offer_sdp: str, *, dcid: int | None = None) -> AnsweredLeg:
        """Answers an offer. Raises SdpError for one it cannot use, LimitExceededError when it is full."""


@dataclass(slots=True)
class Services:
    """All that the API needs.

    Attributes:
        missing: names of the parts that are not ready to take calls; empty when all are.
        db: where past calls are; None for a process that keeps none.
        draining: the process is about to end and takes no new calls.
        clock: seconds, monotonic; for rate limits.
        telephones: calls that ring before they are answered.
        registry: where agents and tools are changed; None for a process that has them fixed.
        direct: models that callers can talk to directly, by name.
    """

    settings: Settings
    calls: CallManager
    agents: AgentDirectory
    webrtc: SignallingEdge
    client_secrets: ClientSecretStore
    metrics: Metrics
    db: Database | None = None
    missing: Callable[[], Sequence[str]] = tuple
    draining: bool = False
    clock: Callable[[], float] = time.monotonic
    telephones: TelephoneCalls = field(default_factory=NoTelephones)
    registry: Registry | None = None
    direct: Mapping[str, DirectModel] = field(default_factory=dict)
    auth: Authenticator = field(init=False)
    call_rate: RateLimiter = field(init=False)
    resume_rate: RateLimiter = field(init=False)
    token_rate: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.auth = Authenticator(self.settings.keys, self.client_secrets)
        self.call_rate = RateLimiter(self.settings.limits.calls_per_minute)
        self.resume_rate = RateLimiter(self.settings.limits.calls_per_minute)
        self.token_rate = RateLimiter(self.settings.tokens.per_minute)

    def limit(self, limiter: RateLimiter, connection: HTTPConnection, what: str) -> None:
        """Counts one use by this client address.

        Raises:
            ApiError: 429, it is one too many; ``Retry-After`` says when to come back.
        """
        address = client_address(connection, self.settings.server.trusted_proxies)
        wait = limiter.take(whose_network(address), now=self.clock())
        if wait:
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"Too many {what} from this address; try again in {wait:.0f} s.",
                type_="rate_limit_exceeded",
                headers={"Retry-After": str(max(1, round(wait)))},
            )

    def admit(self) -> None:
        """Lets a new caller in.

        Raises:
            ApiError: 503 ``server_shutdown``, the process is about to end; ``Retry-After`` gives another one time.
        """
        if self.draining:
            raise ApiError(
                503,
                "server_shutdown",
                "This server is shutting down and takes no new calls; try again in a moment.",
                type_="server_error",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )

    def start_call(
        self,
        leg: CallerLeg,
        principal: Principal,
        *,
        agent: Agent | None,
        session: Mapping[str, Any],
        model: str | None,
        line: Line | None = None,
    ) -> Call:
        """Joins a caller to a model; a caller who cannot be joined is closed.

        Args:
            line: the model side of a direct call.

        Raises:
            ApiError: 503, the agent's model is not available here.
            BudgetExceededError: the key, its agent or this process may have no further call.
            LimitExceededError: every call is taken, or the process is shutting down.
            ProtocolError: a field of ``session`` has a wrong value.
        """
        try:
            return self.calls.start(
                leg, agent=agent, session=session, tenant=principal.tenant, model=model, key=principal.key, line=line
            )
        except UnknownModelError as error:
            leg.close(EndReason.MODEL_FAILED)
            raise ApiError(503, "model_unavailable", str(error), type_="server_error") from None
        except PerhopError:
            leg.close(EndReason.MODEL_FAILED)
            raise

    def require_page(self, connection: HTTPConnection) -> None:
        """Lets through what pages may read without a key: everything when no keys are configured, else pages of the
        allowed origins.

        Raises:
            ApiError: 403, the page's origin is not allowed, or pages are not served at all.
        """
        allowed = self.settings.tokens.allowed_origins
        if self.auth.open:
            return
        if not allowed:
            raise ApiError(
                403,
                "origin_not_allowed",
                "Pages get nothing without a key here: tokens.allowed_origins names none in the settings.",
            )
        # A same-origin GET carries no Origin header; there our own origin is what counts.
        origin = connection.headers.get("origin") or own_origin(connection, self.settings.server.trusted_proxies)
        if "*" not in allowed and origin not in allowed:
            raise ApiError(
                403, "origin_not_allowed", "This page's origin is not among tokens.allowed_origins in the settings."
            )


def choose_agent(
    services: Services, principal: Principal, name: str | None, *, session: Mapping[str, Any]
) -> Agent | None:
    """The agent of a new call: of the client secret, else the one named, else the key's default; None for none.

    Args:
        session: the partial session object; a key's default agent is not meant for transcription sessions.

    Raises:
        ApiError: 404, there is no such agent; 403, the client secret is for another one.
    """
    if principal.secret is not None and principal.secret.agent is not None:
        if name and name != principal.secret.agent:
            raise ApiError(403, "agent_not_allowed", "This client secret was made for another agent.", param="agent")
        name = principal.secret.agent
    elif not name and session.get("type") != "transcription":
        name = principal.agent
    if not name:
        return None
    try:
        return services.agents.get(name, tenant=principal.tenant)
    except UnknownAgentError:
        shown = name if len(name) <= 64 else f"{name[:64]}…"
        known = ", ".join(services.agents.names(tenant=principal.tenant)) or "none"
        raise ApiError(
            404, "unknown_agent", f"There is no agent {shown!r}; known agents: {known}.", param="agent"
        ) from None


def initial_session(principal: Principal, given: Mapping[str, Any]) -> dict[str, Any]:
    """The partial session object of a new call: what its client secret was minted with, then what came with the
    request, merged object by object.

    Raises:
        ProtocolError: the client secret was minted for another type of session.
    """
    minted = principal.secret.session if principal.secret is not None else {}
    if "type" in minted and "type" in given and minted["type"] != given["type"]:
        message = f"This client secret was minted for a {minted['type']} session, not for a {given['type']} session."
        raise ProtocolError("invalid_value", message, "session.type")
    return _merged(minted, given)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _services(connection: HTTPConnection) -> Services:
    services = connection.app.state.services
    assert isinstance(services, Services)
    return services


Use = Annotated[Services, Depends(_services)]
"""Annotates a route's parameter that receives the services."""
