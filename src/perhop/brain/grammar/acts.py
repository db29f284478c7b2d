"""What callers say that is about the conversation itself: yes, no, repeat, start over, a person, goodbye."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from perhop.text.words import vocabulary

__all__ = ["COMMON", "FILLERS", "PHRASES", "Act", "read_act", "strip_fillers"]


class Act(StrEnum):
    YES = "yes"
    NO = "no"
    REPEAT = "repeat"
    RESTART = "start over"
    CANCEL = "cancel"
    HUMAN = "a person"
    HELP = "help"
    MORE = "more"
    WAIT = "wait"
    HELLO = "hello"
    THANKS = "thank you"
    BYE = "goodbye"


PHRASES: dict[Act, tuple[str, ...]] = {
    Act.YES: (
        "yes", "yeah", "yep", "yup", "correct", "right", "that's right", "that's correct", "that is right",
        "that is correct", "it is", "sure", "okay", "ok", "go ahead", "please do", "sounds good", "do it", "perfect",
        "exactly", "absolutely", "of course", "yes it is", "yes that's right", "yes that's correct", "yes go ahead",
        "that's fine", "fine", "great", "alright", "all right", "you got it", "confirm", "i confirm",
    ),
    Act.NO: (
        "no", "nope", "nah", "not quite", "that's wrong", "that is wrong", "wrong", "incorrect", "that's not right",
        "that is not right", "that's not correct", "no thanks", "no thank you", "not really", "no it isn't",
        "no it's not", "i don't think so", "no that's wrong", "no that's not right", "it is not", "it isn't",
        "it's not", "it is not right", "it is not correct", "it's not right", "it's not correct", "it isn't right",
        "it isn't correct", "that isn't right", "that isn't correct", "it is wrong", "it's wrong", "it is incorrect",
        "it's incorrect", "that's incorrect", "that is incorrect", "not right", "not correct",
    ),
    Act.REPEAT: (
        "repeat", "repeat that", "say that again", "say it again", "pardon", "pardon me", "what did you say",
        "come again", "once more", "again", "sorry", "what", "i didn't hear you", "i didn't catch that",
        "i didn't get that", "excuse me", "could you repeat that", "can you repeat that",
    ),
    Act.RESTART: (
        "start over", "start again", "start from the beginning", "from the beginning", "restart",
        "begin again",
    ),
    Act.CANCEL: (
        "cancel", "cancel that", "cancel it", "never mind", "nevermind", "forget it", "forget about it", "stop", "quit",
        "abort", "leave it", "drop it", "stop it", "stop that", "stop talking",
        "that's enough", "enough", "be quiet", "shush",
    ),
    Act.HUMAN: (
        "a human", "human", "a person", "a real person", "an agent", "agent", "representative", "a representative",
        "operator", "the operator", "talk to a human", "speak to a human", "talk to a person", "speak to a person",
        "talk to someone", "speak to someone", "speak with someone", "speak with a human", "talk to a real person",
        "speak to a real person", "speak to an agent", "talk to an agent", "speak to a representative",
        "talk to a representative", "customer service", "a real human",
    ),
    Act.HELP: (
        "help", "help me", "what can you do", "what can i say", "what can i do", "what are my options", "options",
        "what do you do", "how does this work", "what can i ask", "who are you", "what are you",
    ),
    Act.MORE: (
        "more", "tell me more", "more results", "what else", "the next ones", "next ones", "any others",
        "others",
    ),
    Act.WAIT: (
        "wait", "hold on", "one moment", "just a moment", "one second", "just a second", "hang on", "give me a second",
        "a moment", "let me think", "let me see", "one minute", "just a minute", "a minute", "a second", "no wait",
    ),
    Act.HELLO: ("hello", "hi", "hey", "hi there", "hello there", "good morning", "good afternoon", "good evening"),
    Act.THANKS: (
        "thanks", "thank you", "thank you very much", "thanks a lot", "many thanks", "thank you so much", "cheers",
        "that's great thanks", "great thanks", "great thank you", "perfect thanks", "perfect thank you",
    ),
    Act.BYE: (
        "bye", "goodbye", "good bye", "bye bye", "see you", "that's all", "that is all", "that's it", "nothing else",
        "i'm done", "we're done", "have a nice day", "no that's all", "no that's it", "no nothing else",
        "that's all thanks", "that's all thank you", "thanks bye", "thank you bye", "thank you goodbye",
    ),
}  # fmt: skip
"""Every phrase is understood whole or politely wrapped; those of YES and NO also in front of more ("no, saturday")."""

COMMON: dict[Act, tuple[str, ...]] = {
    Act.YES: (
        "yes",
        "yeah",
        "yep",
        "correct",
        "that's right",
        "that's correct",
        "sure",
        "okay",
        "go ahead",
        "sounds good",
    ),
    Act.NO: ("no", "nope", "no thanks", "no thank you", "that's wrong", "not really"),
    Act.REPEAT: ("repeat that", "say that again", "pardon", "what did you say"),
    Act.RESTART: ("start over",),
    Act.CANCEL: ("cancel", "cancel that", "[wait] never mind", "forget it", "[wait] stop", "stop talking"),
    Act.HUMAN: ("(talk | speak) to (a human | a person | someone | an agent)", "operator", "representative"),
    Act.HELP: ("help", "what can you do", "what are my options"),
    Act.MORE: ("more", "tell me more", "what else"),
    Act.WAIT: ("wait", "one moment", "hold on", "just a second"),
    Act.HELLO: ("hello", "hi"),
    Act.THANKS: ("thank you", "thanks"),
    Act.BYE: ("goodbye", "bye", "that's all", "nothing else", "thank you goodbye"),
}
"""The commonest of them as JSGF, for a recogniser: every further phrase costs it some certainty about the others."""

FILLERS = frozenset(vocabulary("uh um er erm ah hmm mm uhm umm like well so oh and actually please just , ."))
_LEADING = FILLERS | frozenset(vocabulary("okay ok alright but then now maybe wait"))
_WRAPPERS = (
    ("can", "you"), ("could", "you"), ("can", "i"), ("could", "i"), ("may", "i"), ("i", "want", "to"), ("let's",),
    ("i'd", "like", "to"), ("i", "would", "like", "to"), ("i", "need", "to"), ("let", "me"), ("i", "want"),
    ("i'd", "like"), ("i", "need"), ("give", "me"), ("get", "me"), ("connect", "me", "to"), ("transfer", "me", "to"),
    ("put", "me", "through", "to"), ("i", "said"), ("would", "you"),
)  # fmt: skip

_BY_WORDS: dict[tuple[str, ...], Act] = {
    tuple(phrase.split()): act for act, phrases in PHRASES.items() for phrase in phrases
}
_LONGEST = max(map(len, _BY_WORDS))


def strip_fillers(words: Sequence[str]) -> tuple[int, int]:
    """The stretch of the words left when fillers at both ends are ignored, as ``start, end``."""
    start, end = 0, len(words)
    while start < end and words[start] in FILLERS:
        start += 1
    while end > start and words[end - 1] in FILLERS:
        end -= 1
    return start, end


def read_act(words: Sequence[str]) -> tuple[Act, int] | None:
    """The act an utterance is, or begins with.

    Returns:
        The act and the index of the first word after it; the length of ``words`` when there is nothing but the act.
        Only YES and NO are found in front of more.
    """
    start, end = strip_fillers(words)
    if start == end:
        return None
    inner = _unwrapped(words, start, end)
    exact = tuple(word for word in words if word not in (",", "."))
    if act := _BY_WORDS.get(exact) or _whole(words, start, end) or _whole(words, inner, end):
        return act, len(words)
    if act := _whole(words, _after_leading(words, start, end), end):
        return act, len(words)
    if act := _ending(words, start, end):
        return act, len(words)
    for length in range(min(_LONGEST, end - start), 0, -1):
        found = _BY_WORDS.get(tuple(words[start : start + length]))
        if found in (Act.YES, Act.NO):
            rest = read_act(words[start + length : end])  # "yeah, that's right"
            more = rest is not None and rest == (found, end - start - length)
            return found, len(words) if more else start + length
    return None


def _whole(words: Sequence[str], start: int, end: int) -> Act | None:
    spoken = tuple(word for word in words[start:end] if word not in (",", ".", "please"))
    if len(spoken) > _LONGEST:
        return None
    # "yes yes please", "no no"
    return _BY_WORDS.get(spoken) or (_BY_WORDS.get(spoken[:1]) if len(set(spoken)) == 1 else None) if spoken else None


_BESIDE = {
    Act.BYE: frozenset({Act.BYE, Act.CANCEL, Act.HELLO, Act.NO, Act.THANKS, Act.WAIT, Act.YES}),
    Act.CANCEL: frozenset({Act.CANCEL, Act.NO, Act.THANKS, Act.WAIT}),
}
"""What may be said around an end without being anything else. "Yes, cancel it" may well be an agreement."""


def _ending(words: Sequence[str], start: int, end: int) -> Act | None:
    """The end that is put in several phrases: "no thanks, bye then", "no, wait, stop"."""
    said: set[Act] = set()
    at = start
    while at < end:
        for length in range(min(_LONGEST, end - at), 0, -1):
            if act := _BY_WORDS.get(tuple(words[at : at + length])):
                said.add(act)
                at += length
                break
        else:
            if words[at] not in _LEADING:
                return None
            at += 1
    return next((act for act, beside in _BESIDE.items() if act in said and said <= beside), None)


def _after_leading(words: Sequence[str], start: int, end: int) -> int:
    while start < end - 1 and words[start] in _LEADING:
        start += 1
    return start


def _unwrapped(words: Sequence[str], start: int, end: int) -> int:
    for _ in range(3):  # "could you please connect me to a person"
        for wrapper in _WRAPPERS:
            if tuple(words[start : start + len(wrapper)]) == wrapper and start + len(wrapper) < end:
                start = _after_leading(words, start + len(wrapper), end)
                break
        else:
            break
    return start
