"""What a response or a transcription used, read off its event."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from perhop.realtime.events import Usage, UsageDuration
from perhop.realtime.events.transcription import TranscriptionUsage

__all__ = ["TokenUse", "of_response", "of_transcription"]


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Tokens by kind. Input that was cached is counted under ``cached_…`` only.

    Attributes:
        transcription: whether a transcription used them, not a response.
        seconds: of audio that was transcribed, where that is what is charged.
    """

    input_text: int = 0
    input_audio: int = 0
    input_image: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    output_text: int = 0
    output_audio: int = 0
    transcription: bool = False
    seconds: float = 0.0

    @property
    def tokens(self) -> dict[str, int]:
        """Those of which there are any."""
        return {kind: count for kind, count in asdict(self).items() if kind in _KINDS and count}

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.tokens.values())


_KINDS = frozenset(field.name for field in fields(TokenUse)) - {"transcription", "seconds"}


def of_response(usage: Usage) -> TokenUse:
    """Of ``response.done``. Servers that count only sums are taken to have heard and said text."""
    given, said = usage.input_token_details, usage.output_token_details
    text = audio = image = cached_text = cached_audio = cached_image = 0
    if given is not None:
        text, audio, image = given.text_tokens or 0, given.audio_tokens or 0, given.image_tokens or 0
        details = given.cached_tokens_details
        if details is not None:
            cached_text, cached_audio = details.text_tokens or 0, details.audio_tokens or 0
            cached_image = details.image_tokens or 0
        else:
            cached_text = given.cached_tokens or 0
    # What no kind accounts for is text: a server may count sums only.
    text += max(0, (usage.input_tokens or 0) - text - audio - image)
    output_text = (said.text_tokens or 0) if said is not None else 0
    output_audio = (said.audio_tokens or 0) if said is not None else 0
    output_text += max(0, (usage.output_tokens or 0) - output_text - output_audio)
    cached_text, cached_audio, cached_image = (
        max(0, min(cached, whole))
        for cached, whole in ((cached_text, text), (cached_audio, audio), (cached_image, image))
    )
    return TokenUse(
        input_text=max(0, text - cached_text),
        input_audio=max(0, audio - cached_audio),
        input_image=max(0, image - cached_image),
        cached_text=cached_text,
        cached_audio=cached_audio,
        cached_image=cached_image,
        output_text=max(0, output_text),
        output_audio=max(0, output_audio),
    )


def of_transcription(usage: TranscriptionUsage) -> TokenUse:
    """Of ``conversation.item.input_audio_transcription.completed``."""
    if isinstance(usage, UsageDuration):
        return TokenUse(transcription=True, seconds=max(0.0, usage.seconds))
    details = usage.input_token_details
    text = max(0, (details.text_tokens or 0) if details is not None else 0)
    return TokenUse(
        transcription=True,
        input_text=text,
        input_audio=max(0, usage.input_tokens - text),
        output_text=max(0, usage.output_tokens),
    )
