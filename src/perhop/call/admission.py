"""Which events of a call's clients reach its model, and in what form; a wrong one is answered with ``error``."""

from __future__ import annotations

from collections.abc import Callable

from perhop.call.asking import Asking
from perhop.call.boundary import Boundary
from perhop.call.functions import FunctionCalls
from perhop.call.in_force import SessionInForce
from perhop.call.replies import Replies, Reply
from perhop.call.voice import Voice
from perhop.realtime.errors import ProtocolError
from perhop.realtime.events import (
    ClientEvent,
    ConversationItemCreate,
    InputAudioBufferAppend,
    OutputAudioBufferClear,
    ResponseCreate,
    SessionUpdate,
)
from perhop.realtime.ids import IdFactory
from perhop.realtime.items import FunctionCallOutputItem, MessageItem

__all__ = ["Admission"]


class Admission:
    """Of one call. Whatever it knows no rule for passes untouched.

    Args:
        replies: so that an error of the model finds the client whose event it answers.
        session: what of the session is the client's to change, and the audio formats in force.
        asking: gets the wishes for a response.
        functions: knows whose a function call is to answer.
        voice: is silenced on a client's wish.
        boundary: gets everything else.
        refused: told the code of an error that answers a client's own mistake.
    """

    def __init__(
        self,
        replies: Replies,
        session: SessionInForce,
        *,
        asking: Asking,
        functions: FunctionCalls,
        voice: Voice,
        boundary: Boundary,
        refused: Callable[[str], None],
        new_id: IdFactory,
    ) -> None:
        self._replies = replies
        self._session = session
        self._asking = asking
        self._functions = functions
        self._voice = voice
        self._boundary = boundary
        self._refused = refused
        self._new_id = new_id

    def take(self, event: ClientEvent, reply: Reply, *, trusted: bool = False) -> None:
        """An event of the client who is reached by ``reply``; what is wrong with it is that client's to know.

        Args:
            trusted: it is a server of the tenant's own, which may give the model system messages.
        """
        try:
            self._handle(self._replies.sign(event, reply), reply, trusted=trusted)
        except ProtocolError as error:
            error.event_id = event.event_id
            self._refused(error.code or "")
            reply(error.to_event(self._new_id("event_")))

    def _handle(self, event: ClientEvent, reply: Reply, *, trusted: bool) -> None:
        event = self._session.audio.to_model(event)
        self._boundary.admit(event)
        match event:
            case SessionUpdate():
                self._boundary.to_model(self._session.asked(event))
            case ResponseCreate():
                if event.response is not None:
                    for index, item in enumerate(event.response.input or ()):
                        self._check_role(item, at=f"response.input[{index}]", trusted=trusted)
                self._asking.from_client(self._session.response(event), reply)
            case ConversationItemCreate() if isinstance(event.item, FunctionCallOutputItem):
                self._take_output(event, event.item.call_id)
            case ConversationItemCreate():
                self._check_role(event.item, at="item", trusted=trusted)
                self._boundary.to_model(event)
            case InputAudioBufferAppend():
                self._boundary.audio_to_model(self._session.audio.appended(event))
            case OutputAudioBufferClear():
                if not self._voice.interrupt(self._asking.live_response_id):
                    self._boundary.to_model(event)
            case _:
                self._boundary.to_model(event)

    def _check_role(self, item: object, *, at: str, trusted: bool) -> None:
        """A system message is an instruction: where those are the agent's, a caller gives none."""
        if isinstance(item, MessageItem) and item.role == "system" and self._session.lock.instructs and not trusted:
            raise ProtocolError(
                "invalid_value",
                "the agent's instructions are fixed, so callers send no system messages; a controller with a key may",
                param=f"{at}.role",
            )

    def _take_output(self, event: ConversationItemCreate, function_call_id: str) -> None:
        if self._functions.owns(function_call_id):
            raise ProtocolError(
                "invalid_value",
                f"the output of {function_call_id} comes from Perhop, which runs this tool; do not send it",
                param="item.call_id",
            )
        self._boundary.to_model(event)
        self._functions.client_answered(function_call_id)
