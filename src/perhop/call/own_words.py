"""What Perhop has the model say of its own accord: greetings, fillers, warnings, goodbyes."""

from __future__ import annotations

from perhop.realtime.events import Response, ResponseCreate, ResponseParams

__all__ = ["PURPOSE", "greeting", "purpose_of", "spoken"]

PURPOSE = "perhop_purpose"
"""Of a response's metadata: by this it is known among others. Models return metadata as it is."""


def spoken(text: str, *, purpose: str) -> ResponseCreate:
    """A request to say this and nothing else."""
    quoted = text.replace('"', "'")
    return ResponseCreate(
        response=ResponseParams(
            instructions=f'Say this to the caller, in the language of the conversation: "{quoted}"',
            tool_choice="none",
            metadata={PURPOSE: purpose},
        )
    )


def greeting(text: str) -> ResponseCreate:
    """A request for the first words of an agent."""
    return ResponseCreate(response=ResponseParams(instructions=f'Greet the caller with: "{text}"'))


def purpose_of(response: Response) -> str | None:
    """Why Perhop asked for this response; None for one that somebody else asked for."""
    return (response.metadata or {}).get(PURPOSE)
