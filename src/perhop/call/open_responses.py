"""What of a response is still open, so that it can be closed in order when the session that made it is gone."""

from __future__ import annotations

from dataclasses import dataclass, field

from perhop.realtime.events import (
    ConversationItemDone,
    Response,
    ResponseContentPart,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseFailure,
    ResponseFunctionCallArgumentsDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ServerEvent,
    StatusDetails,
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import ContentPart, FunctionCallItem, Item, MessageItem

__all__ = ["OpenResponses"]


@dataclass(slots=True)
class _Part:
    kind: str
    words: str = ""
    done: bool = False


@dataclass(slots=True)
class _Output:
    item: Item
    index: int
    parts: dict[int, _Part] = field(default_factory=dict)
    arguments: str = ""
    done: bool = False

    def final(self) -> Item:
        """The item as far as it came."""
        if isinstance(self.item, FunctionCallItem):
            return self.item.model_copy(update={"status": "incomplete", "arguments": self.arguments})
        if isinstance(self.item, MessageItem):
            content = [
                ContentPart(type="output_text", text=part.words)
                if part.kind == "text"
                else ContentPart(type="output_audio", transcript=part.words)
                for part in self.parts.values()
            ]
            return self.item.model_copy(update={"status": "incomplete", "content": content})
        return self.item


@dataclass(slots=True)
class _Open:
    response: Response
    outputs: dict[str, _Output] = field(default_factory=dict)


@dataclass(slots=True)
class OpenResponses:
    """Follows the events of a model; keeps the responses that have not ended.

    Attributes:
        begun: how many there were so far.
    """

    new_id: IdFactory
    begun: int = 0
    _open: dict[str, _Open] = field(default_factory=dict)

    def observe(self, event: ServerEvent) -> None:
        """Takes in an event of the model."""
        match event:
            case ResponseCreated() if event.response.id is not None:
                self.begun += 1
                self._open[event.response.id] = _Open(event.response)
            case ResponseDone():
                self._open.pop(event.response.id or "", None)
            case ResponseOutputItemAdded() if event.response_id in self._open and event.item.id is not None:
                self._open[event.response_id].outputs[event.item.id] = _Output(event.item, event.output_index)
            case ResponseOutputItemDone() if event.response_id in self._open:
                output = self._open[event.response_id].outputs.get(event.item.id or "")
                if output is not None:
                    output.item, output.done = event.item, True
            case ResponseContentPartAdded():
                output = self._output(event.response_id, event.item_id)
                if output is not None:
                    output.parts[event.content_index] = _Part(event.part.type)
            case ResponseOutputTextDelta() | ResponseOutputAudioTranscriptDelta():
                output = self._output(event.response_id, event.item_id)
                if output is not None and event.content_index in output.parts:
                    output.parts[event.content_index].words += event.delta
            case ResponseContentPartDone():
                output = self._output(event.response_id, event.item_id)
                if output is not None and event.content_index in output.parts:
                    output.parts[event.content_index].done = True
            case ResponseFunctionCallArgumentsDelta():
                output = self._output(event.response_id, event.item_id)
                if output is not None:
                    output.arguments += event.delta
            case _:
                pass

    def close(self, code: str, message: str) -> list[ServerEvent]:
        """The events that end every open response: each part, each item, and each response as ``failed``."""
        events: list[ServerEvent] = []
        for response_id, open_ in self._open.items():
            for item_id, output in open_.outputs.items():
                if not output.done:
                    events += self._close_item(response_id, item_id, output, in_conversation=_kept(open_.response))
            failure = ResponseFailure(type="server_error", code=code, message=message)
            response = open_.response.model_copy(
                update={
                    "status": "failed",
                    "status_details": StatusDetails(type="failed", error=failure),
                    "output": [output.final() if not output.done else output.item for output in open_.outputs.values()],
                }
            )
            events.append(ResponseDone(event_id=self.new_id("event_"), response=response))
        self._open.clear()
        return events

    def _output(self, response_id: str, item_id: str) -> _Output | None:
        open_ = self._open.get(response_id)
        return open_.outputs.get(item_id) if open_ is not None else None

    def _close_item(
        self, response_id: str, item_id: str, output: _Output, *, in_conversation: bool
    ) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        for index, part in output.parts.items():
            if part.done:
                continue
            at = {
                "response_id": response_id,
                "item_id": item_id,
                "output_index": output.index,
                "content_index": index,
            }
            if part.kind == "text":
                events.append(ResponseOutputTextDone(event_id=self.new_id("event_"), text=part.words, **at))
                shown = ResponseContentPart(type="text", text=part.words)
            else:
                events.append(ResponseOutputAudioDone(event_id=self.new_id("event_"), **at))
                events.append(
                    ResponseOutputAudioTranscriptDone(event_id=self.new_id("event_"), transcript=part.words, **at)
                )
                shown = ResponseContentPart(type="audio", transcript=part.words)
            events.append(ResponseContentPartDone(event_id=self.new_id("event_"), part=shown, **at))
        final = output.final()
        events.append(
            ResponseOutputItemDone(
                event_id=self.new_id("event_"), response_id=response_id, output_index=output.index, item=final
            )
        )
        if in_conversation:
            events.append(ConversationItemDone(event_id=self.new_id("event_"), item=final))
        return events


def _kept(response: Response) -> bool:
    """Whether the items of this response are part of the conversation."""
    return response.conversation_id is not None
