"""Tools that act on the call itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from perhop.tools.base import JsonObject, ToolContext
from perhop.tools.control import CallControl
from perhop.tools.errors import ToolDefinitionError, ToolError
from perhop.tools.kinds.described import DescribedTool
from perhop.tools.services import ToolServices

__all__ = ["BUILTINS", "BuiltinName", "BuiltinTool", "builtin"]

BuiltinName = Literal["hang_up", "transfer", "hand_off", "send_dtmf"]


@dataclass(frozen=True, kw_only=True, eq=False)
class BuiltinTool(DescribedTool):
    """One of the built-in tools; made by :func:`builtin`.

    Attributes:
        does: which one.
        targets: where calls may be transferred, by the name the model uses for it. A model never sees or makes up a
            number of its own.
    """

    kind: ClassVar[str] = "builtin"

    does: BuiltinName
    targets: Mapping[str, str] = field(default_factory=dict)

    async def execute(self, values: JsonObject, context: ToolContext, *, services: ToolServices) -> object:  # noqa: ARG002
        call = context.control
        if call is None:
            raise ToolError("This cannot be done outside of a call.")
        return await self._act(call, values)

    async def _act(self, call: CallControl, values: JsonObject) -> object:
        match self.does:
            case "hang_up":
                await call.hang_up()
                return {"ok": True, "next": "Say goodbye in one short sentence. The call ends after it."}
            case "transfer":
                await call.transfer(self.targets[values["to"]])
                return {"ok": True, "next": "The caller is being connected."}
            case "hand_off":
                await call.hand_off(values["to"])
                return {"ok": True}
            case "send_dtmf":
                await call.send_dtmf(values["digits"])
                return {"ok": True}


def _choice(options: Sequence[str], description: str) -> JsonObject:
    to: JsonObject = {"type": "string", "enum": list(options), "description": description}
    return {"type": "object", "properties": {"to": to}, "required": ["to"], "additionalProperties": False}


_DIGITS: JsonObject = {
    "type": "object",
    "properties": {
        "digits": {
            "type": "string",
            "pattern": "^[0-9A-D*#w]{1,32}$",
            "description": "Keys in order; w waits half a second.",
        }
    },
    "required": ["digits"],
    "additionalProperties": False,
}

_DESCRIPTIONS: Mapping[BuiltinName, str] = {
    "hang_up": "Ends the call. Use it when the caller wants to end it or everything is done; say goodbye afterwards.",
    "transfer": "Connects the caller to a person or another line. Tell the caller first.",
    "hand_off": "Hands the conversation to another agent who can help better. The caller stays on the line.",
    "send_dtmf": "Presses keys on the telephone line, to get through a menu.",
}

_SAMPLES: Mapping[BuiltinName, Sequence[str]] = {
    "hang_up": ("goodbye", "hang up", "end the call", "that is all goodbye"),
    "transfer": ("connect me to {to}", "transfer me to {to}", "put me through to {to}"),
    "hand_off": ("let me talk to {to}", "give me {to}"),
    "send_dtmf": (),
}

_SAID: Mapping[BuiltinName, str] = {
    "hang_up": "Goodbye!",
    "transfer": "I am connecting you now.",
    "hand_off": "One moment, please.",
    "send_dtmf": "Done.",
}
"""What the built-in dialogue says of the result."""

BUILTINS: tuple[BuiltinName, ...] = tuple(_DESCRIPTIONS)


def builtin(
    does: BuiltinName,
    *,
    name: str | None = None,
    targets: Mapping[str, str] | None = None,
    agents: Sequence[str] = (),
    **options: Any,
) -> BuiltinTool:
    """Makes a built-in tool.

    Args:
        targets: for ``transfer``: numbers and addresses by name (``{"sales": "tel:+14155550100"}``).
        agents: for ``hand_off``: who may take over.
        options: fields of :class:`~perhop.tools.base.Tool`, which go before the defaults.

    Raises:
        ToolDefinitionError: it has nobody to go to.
    """
    targets = targets or {}
    match does:
        case "transfer" if not targets:
            raise ToolDefinitionError("transfer: name in targets where calls may go, in a [tools.…] table")
        case "hand_off" if not agents:
            raise ToolDefinitionError("hand_off: name in agents who may take over, in a [tools.…] table")
        case "transfer":
            parameters = _choice(list(targets), "Who to connect to.")
        case "hand_off":
            parameters = _choice(agents, "Who takes over.")
        case "send_dtmf":
            parameters = _DIGITS
        case _:
            parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    given: JsonObject = {
        "description": _DESCRIPTIONS[does],
        # Nothing in the world changes by ending or handing over a conversation that the caller could not undo.
        "effect": "none" if does in ("hang_up", "hand_off") else "once",
        "title": does.replace("_", " "),
        "retries": 0,
        **options,
    }
    samples = given.pop("samples", None) or _SAMPLES[does]
    extensions = {"x-say": given.pop("say", None) or _SAID[does], **({"x-samples": list(samples)} if samples else {})}
    return BuiltinTool(
        name=name or does, does=does, targets=dict(targets), parameters={**parameters, **extensions}, **given
    )
