"""What a client may put into a conversation: rules about roles, parts and ids that types alone cannot express."""

from __future__ import annotations

from perhop.realtime.errors import ProtocolError
from perhop.realtime.items import ITEM_ID_MAX, ContentPart, Item, MessageItem

__all__ = ["check_client_item"]

_PARTS_OF_ROLE: dict[str, dict[str, tuple[str, ...]]] = {
    "system": {"input_text": ("text",)},
    "user": {"input_text": ("text",), "input_audio": ("audio", "transcript"), "input_image": ("image_url",)},
    "assistant": {"output_text": ("text",), "output_audio": ("transcript",)},
}
"""Role → part type → fields of which one must be there."""

_FIELDS_OF_PART: dict[str, frozenset[str]] = {
    "input_text": frozenset({"type", "text"}),
    "input_audio": frozenset({"type", "audio", "transcript"}),
    "input_image": frozenset({"type", "image_url", "detail"}),
    "output_text": frozenset({"type", "text"}),
    "output_audio": frozenset({"type", "audio", "transcript"}),
}


def check_client_item(item: Item, *, at: str) -> None:
    """Refuses an item a client must not create.

    Args:
        at: where the item stands in the event, for the error's ``param``.

    Raises:
        ProtocolError: naming the field.
    """
    if item.id is not None and not 0 < len(item.id) <= ITEM_ID_MAX:
        raise ProtocolError("invalid_value", f"'{at}.id' must have 1 to {ITEM_ID_MAX} characters.", f"{at}.id")
    if isinstance(item, MessageItem):
        for index, part in enumerate(item.content):
            _check_part(part, item.role, at=f"{at}.content[{index}]")


def _check_part(part: ContentPart, role: str, *, at: str) -> None:
    allowed = _PARTS_OF_ROLE[role]
    if part.type not in allowed:
        names = ", ".join(f"'{name}'" for name in allowed)
        message = f"Invalid value for '{at}.type': a part of a {role} message is one of {names}."
        raise ProtocolError("invalid_value", message, f"{at}.type")
    for name in part.model_fields_set - _FIELDS_OF_PART[part.type]:
        if getattr(part, name) is not None:
            raise ProtocolError("invalid_value", f"'{at}.{name}' does not belong to {part.type}.", f"{at}.{name}")
    if role == "assistant" and part.audio is not None:
        raise ProtocolError("invalid_value", "Assistant messages with audio cannot be created.", f"{at}.audio")
    needed = allowed[part.type]
    if all(getattr(part, name) is None for name in needed):
        raise ProtocolError(
            "missing_required_parameter", f"Missing required parameter: '{at}.{needed[0]}'.", f"{at}.{needed[0]}"
        )
    if part.detail not in (None, "auto", "low", "high"):
        raise ProtocolError("invalid_value", f"'{at}.detail' must be auto, low or high.", f"{at}.detail")
