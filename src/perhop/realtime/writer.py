"""One response on the wire: every item, part and delta opened in order, and every one of them closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from perhop.realtime.audio import AudioChunk
from perhop.realtime.conversation import Entry
from perhop.realtime.core import Core
from perhop.realtime.events import (
    InputTokenDetails,
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ResponseStatus,
    ServerEvent,
    StatusDetails,
    Usage,
)
from perhop.realtime.items import ContentPart, FunctionCallItem, Item, MessageItem
from perhop.realtime.plan import ResponsePlan
from perhop.realtime.usage import ASSISTANT_AUDIO_MS, CHARACTERS, output_tokens, sum_of, text_tokens, usage

__all__ = ["ResponseWriter"]

_ONE_PART = 0
"""A message of ours has a single part."""


@dataclass(slots=True)
class _Message:
    """The message being produced."""

    entry: Entry
    index: int
    words: list[str] = field(default_factory=list)
    audio_bytes: int = 0
    audio: bytearray = field(default_factory=bytearray)


class ResponseWriter:
    """Turns what the host produces into events.

    Attributes:
        audio_ms: audio produced so far, over all items.
        first_audio_at: when its first audio came.
        overflown: it had no tokens left for something the model produced.
        entries: what it has put out so far.
    """

    def __init__(self, core: Core, response_id: str, plan: ResponsePlan) -> None:
        self.id = response_id
        self.audio_ms = 0
        self.first_audio_at: float | None = None
        self._core = core
        self._plan = plan
        self._behind: list[str] = []
        self.entries: list[Entry] = []
        self._output: list[Item] = []
        self._message: _Message | None = None
        self._characters = 0
        self.overflown = False

    @property
    def silent(self) -> bool:
        """The response has no audio."""
        return self._plan.modality == "text"

    # -- the response -------------------------------------------------------------------------------------------------

    def created(self) -> None:
        """Announces the response."""
        response = self._response("in_progress", status_details=None, output=[], usage=None)
        self._core.emit(ResponseCreated(event_id=self._core.event_id(), response=response))

    def answers(self) -> None:
        """It answers the conversation as it is now: its items stand behind this, and before all that is added later.

        A client may add an item before the first word of an answer that does not know of it. It was said later, and
        whoever reads the conversation must find it unanswered.
        """
        self._behind = [entry.id for entry in self._core.conversation]

    def done(
        self,
        status: Literal["completed", "cancelled", "incomplete", "failed"],
        details: StatusDetails | None,
        heard: InputTokenDetails,
    ) -> Usage:
        """Closes what is open, then the response.

        Args:
            heard: tokens of the context it was given.

        Returns:
            What it used.
        """
        self.end_message("completed" if status == "completed" else "incomplete")
        said = output_tokens(characters=self._characters, audio_ms=self.audio_ms)
        used = usage(heard, said)
        response = self._response(status, status_details=details, output=self._output, usage=used)
        self._core.emit(ResponseDone(event_id=self._core.event_id(), response=response))
        return used

    def _response(self, status: ResponseStatus, **fields: object) -> Response:
        plan = self._plan
        return Response.model_validate(
            {
                "object": "realtime.response",
                "id": self.id,
                "status": status,
                "conversation_id": self._core.conversation.id if plan.in_conversation else None,
                "output_modalities": [plan.modality],
                "max_output_tokens": "inf" if plan.max_output_tokens is None else plan.max_output_tokens,
                "audio": ResponseAudio(output=ResponseAudioOutput(format=plan.format.wire(), voice=plan.voice)),
                "metadata": plan.metadata,
                **fields,
            }
        )

    # -- messages -----------------------------------------------------------------------------------------------------

    def text(self, words: str) -> None:
        """Adds text: of a written answer, or of what is being said; as much of it as there are tokens for."""
        room = self._room_for_characters()
        if room is not None and len(words) > room:
            self.overflown, words = True, words[:room]
        if not words:
            return
        message = self._open_message()
        message.words.append(words)
        self._characters += len(words)
        self._part(ResponseOutputTextDelta if self.silent else ResponseOutputAudioTranscriptDelta, message, delta=words)

    def audio(self, audio: bytes, now: float) -> None:
        """Adds audio, as much of it as there are tokens for; a text response has none and ignores it."""
        if self.silent:
            return
        room = self._room_for_audio()
        if room is not None and len(audio) > room:
            self.overflown, audio = True, audio[:room]
        if not audio:
            return
        if self.first_audio_at is None:
            self.first_audio_at = now
        message = self._open_message()
        before_ms = message.audio_bytes // self._plan.bytes_per_ms  # the entry's may have been truncated meanwhile
        message.audio_bytes += len(audio)
        message.entry.audio_ms = message.audio_bytes // self._plan.bytes_per_ms
        self.audio_ms += message.entry.audio_ms - before_ms
        self._keep(message, audio)
        self._core.emit(AudioChunk(self.id, message.entry.id, message.index, _ONE_PART, audio))

    def _keep(self, message: _Message, audio: bytes) -> None:
        """Keeps audio for retrieval, unless there is too much of it or nobody can retrieve it."""
        if self._plan.in_conversation and message.audio_bytes <= self._core.limits.max_item_audio:
            message.audio += audio
        else:
            message.audio.clear()

    def _room_for_characters(self) -> int | None:
        """How much text there are tokens for; None for any amount."""
        limit = self._plan.max_output_tokens
        if limit is None:
            return None
        spoken = sum_of(output_tokens(characters=0, audio_ms=self.audio_ms))
        return max(0, (limit - spoken) * CHARACTERS - self._characters)

    def _room_for_audio(self) -> int | None:
        """How many bytes of audio there are tokens for; None for any amount."""
        limit = self._plan.max_output_tokens
        if limit is None:
            return None
        room_ms = (limit - text_tokens(self._characters)) * ASSISTANT_AUDIO_MS - self.audio_ms
        return max(0, room_ms) * self._plan.bytes_per_ms

    def _open_message(self) -> _Message:
        if self._message is None:
            item_id = self._core.new_id("item_")
            entry, index = self.begin_item(MessageItem(id=item_id, status="in_progress", role="assistant", content=[]))
            entry.bytes_per_ms = self._plan.bytes_per_ms
            self._message = _Message(entry, index)
            part = {"type": "text", "text": ""} if self.silent else {"type": "audio", "transcript": ""}
            self._part(ResponseContentPartAdded, self._message, part=part)
        return self._message

    def end_message(self, status: Literal["completed", "incomplete"]) -> None:
        """Closes the message being produced, if there is one."""
        message, self._message = self._message, None
        if message is None:
            return
        words = "".join(message.words)
        if self.silent:
            self._part(ResponseOutputTextDone, message, text=words)
            self._part(ResponseContentPartDone, message, part={"type": "text", "text": words})
            content = ContentPart(type="output_text", text=words)
        else:
            self._part(ResponseOutputAudioDone, message)
            self._part(ResponseOutputAudioTranscriptDone, message, transcript=words)
            self._part(ResponseContentPartDone, message, part={"type": "audio", "transcript": words})
            content = ContentPart(type="output_audio", transcript=words)
        item = MessageItem(id=message.entry.id, status=status, role="assistant", content=[content])
        message.entry.audio = bytes(message.audio)
        self.end_item(message.entry, item, message.index)
        self._core.conversation.keep_audio(message.entry)

    def _part(self, event: type[ServerEvent], message: _Message, **fields: object) -> None:
        """Emits an event about the message's part."""
        self.about(event, message.entry.id, message.index, content_index=_ONE_PART, **fields)

    # -- function calls -----------------------------------------------------------------------------------------------

    def takes(self, name: str, arguments: str) -> bool:
        """Whether there are tokens for this call; half of one would be of no use."""
        room = self._room_for_characters()
        if room is not None and len(name) + len(arguments) > room:
            self.overflown = True
        return not self.overflown

    def function_call(self, name: str, arguments: str) -> None:
        """Adds a whole function call; a message before it is complete."""
        function_call_id = self._core.new_id("call_")
        item = FunctionCallItem(
            id=self._core.new_id("item_"), status="in_progress", call_id=function_call_id, name=name, arguments=""
        )
        entry, index = self.begin_item(item, characters=len(name) + len(arguments))
        call = {"call_id": function_call_id}
        self.about(ResponseFunctionCallArgumentsDelta, entry.id, index, delta=arguments, **call)
        self.about(ResponseFunctionCallArgumentsDone, entry.id, index, name=name, arguments=arguments, **call)
        done = item.model_copy(update={"status": "completed", "arguments": arguments})
        self.end_item(entry, done, index)

    # -- items --------------------------------------------------------------------------------------------------------

    def begin_item(self, item: Item, *, characters: int = 0) -> tuple[Entry, int]:
        """Adds an item in progress; a message before it is complete.

        Args:
            characters: of what the model has written in it.

        Returns:
            Its entry and its output index.
        """
        self.end_message("completed")
        core, index = self._core, len(self._output)
        self._characters += characters
        entry = Entry(item=item, known=item, in_progress=True)
        self._output.append(item)
        self.entries.append(entry)
        core.emit(ResponseOutputItemAdded(event_id=core.event_id(), response_id=self.id, output_index=index, item=item))
        if self._plan.in_conversation:
            core.add_item(entry, position=core.conversation.position_behind(self._behind))
            self._behind.append(entry.id)
        return entry, index

    def end_item(self, entry: Entry, item: Item, index: int) -> None:
        """Says that an item reached its final state, ``item``."""
        core = self._core
        if self._plan.in_conversation:
            core.item_done(entry, item)
        core.emit(ResponseOutputItemDone(event_id=core.event_id(), response_id=self.id, output_index=index, item=item))
        entry.finished(item)
        self._output[index] = item

    def about(self, event: type[ServerEvent], item_id: str, index: int, **fields: object) -> None:
        """Emits an event about one output item."""
        where = {"event_id": self._core.event_id(), "response_id": self.id, "item_id": item_id, "output_index": index}
        self._core.emit(event.model_validate(where | fields))
