"""Calls of agents whose route is ``direct``: the caller's media goes to the model, Perhop holds the key.

A page has two ways. With a secret of the model it posts its offer to the model, and Perhop has no part in the call. Or
it posts its offer to Perhop, which hands it to the model and takes part over a sideband: that call has the agent's
tools, its limits and its records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from perhop.api.auth import Principal
from perhop.api.errors import ApiError
from perhop.api.services import Services
from perhop.call.agents import Agent
from perhop.call.direct import DirectLeg, DirectLine
from perhop.call.legs import EndReason
from perhop.errors import PerhopError
from perhop.models.direct import DirectModel
from perhop.models.rest import ModelRestError, ModelSecret

__all__ = ["DirectTarget", "answer_directly", "direct_model", "mint_at_model"]


class DirectTarget(BaseModel):
    """Where a secret of the model opens calls."""

    route: Literal["direct"] = "direct"
    url: str = Field(description="Post the SDP offer here: media and events flow between page and model.")
    supervised: str = Field(
        default="/v1/realtime/calls", description="Or here, at Perhop, which then runs the agent's tools in the call."
    )


def direct_model(services: Services, agent: Agent | None) -> DirectModel | None:
    """The model that callers of this agent talk to directly; None when their media passes through Perhop.

    Raises:
        ApiError: 503, it is not available here.
    """
    if agent is None or agent.route != "direct":
        return None
    model = services.direct.get(agent.model)
    if model is None:
        message = f"The model {agent.model!r} takes no direct calls here."
        raise ApiError(503, "model_unavailable", message, type_="server_error")
    return model


async def mint_at_model(
    services: Services, principal: Principal, *, agent: Agent, session: Mapping[str, Any], ttl_s: int | None
) -> tuple[ModelSecret, DirectTarget]:
    """A client secret of the model, bound to the agent's whole configuration; it opens a supervised call here too.

    Raises:
        ApiError: the model gave none, or too many secrets are live.
        BudgetExceededError: the key, the agent or this process may have no further call.
        ProtocolError: a field of ``session`` has a wrong value.
    """
    model = direct_model(services, agent)
    assert model is not None
    services.calls.check_budget(agent, tenant=principal.tenant, key=principal.key)
    effective = services.calls.effective_session(agent, session, model=session.get("model"))
    ttl_s = ttl_s if ttl_s is not None else services.settings.tokens.ttl_s
    try:
        minted = await model.mint(effective, ttl_s=ttl_s)
    except ModelRestError as error:
        raise _refusal(error) from None
    services.client_secrets.adopt(
        minted.value.get_secret_value(),
        ttl_s=ttl_s,
        tenant=principal.tenant,
        agent=agent.name,
        session=session,
        key=principal.key,
    )
    services.metrics.secret_minted()
    return minted, DirectTarget(url=model.calls_url)


async def answer_directly(
    services: Services,
    principal: Principal,
    offer_sdp: str,
    *,
    model: DirectModel,
    agent: Agent,
    session: Mapping[str, Any],
    shown_model: str | None,
    dcid: int | None,
) -> tuple[str, str]:
    """Has the model answer a caller's offer, once Perhop hears the call.

    Args:
        shown_model: the name the client asked for.

    Returns:
        The model's SDP answer, and the id of the call here.

    Raises:
        ApiError: the model does not answer, or cannot be heard.
    """
    with services.client_secrets.spend(principal.secret) as spending:
        leg = DirectLeg()
        line = DirectLine(model, offer_sdp, policy=services.calls.policy, dcid=dcid)
        call = services.start_call(leg, principal, agent=agent, session=session, model=shown_model, line=line)
        try:
            answer = await line.answer()
        except ModelRestError as error:
            raise _refusal(error, offer=True) from None
        except PerhopError:
            message = "The model took the call, but it cannot be supervised; try again later."
            raise ApiError(502, "model_unavailable", message, type_="server_error") from None
        finally:
            if not line.answered:
                call.hang_up(EndReason.MODEL_FAILED)
        spending.commit(call.id)
    leg.answered()
    return answer, call.id


def _refusal(error: ModelRestError, *, offer: bool = False) -> ApiError:
    if offer and error.status == 400:
        return ApiError(400, "invalid_sdp", "The model does not take this offer or session.", param="sdp")
    if error.fatal:
        return ApiError(502, "model_refused", f"The model refused: {error}.", type_="server_error")
    message = f"The model cannot be reached: {error}."
    return ApiError(503, "model_unavailable", message, type_="server_error", headers={"Retry-After": "5"})
