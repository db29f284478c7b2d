"""What came of a function call: entries that can be pointed at, what to say of them, or what went wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from perhop.brain.dialogue.phrasing import say_as, say_field, sentence, sentences
from perhop.brain.dialogue.template import SPOKEN_ENTRIES, Template, as_object
from perhop.brain.grammar.schema import Kind, Slot, Tool, humanise, stem
from perhop.brain.grammar.values import Json
from perhop.text.verbalise import say_list, say_number, say_ordinal

__all__ = ["Fault", "Result", "read_result", "say_more", "say_result"]

_MAX_OUTPUT = 200_000
_MAX_ENTRIES = 50
_LABEL_KEYS = ("title", "name", "label", "address", "street", "summary", "subject", "description", "text")
_SAID_KEYS = ("say", "message", "summary", "answer", "text", "result")
_SILENT = re.compile(
    r"(^|_)(id|ids|url|uri|link|image|photo|lat|lon|lng|latitude|longitude|uuid|href|slug)$", re.IGNORECASE
)
_SUCCESS_KEYS = frozenset({"ok", "success", "done", "sent", "status", "error"})
_SUCCESS = frozenset({"ok", "success", "successful", "done", "sent", "created", "queued", "accepted", "completed"})
_MAX_FIELDS = 4
_MAX_PLAIN = 8

_UNSENT = re.compile(r"\bnothing was (done|run|sent)\b|\byou may try again\b", re.IGNORECASE)
"""In the message of a timeout: it was never begun."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call has no result.

    Attributes:
        code: as the tool runner gives it (``timeout``, ``invalid_arguments`` …), or empty.
        message: what the tool itself says; may be empty.
        fields: what is wrong with which argument.
        broke: the tool did not say that it cannot; it came to an end nobody meant.
    """

    code: str
    message: str
    fields: Mapping[str, str]
    broke: bool = False

    @property
    def in_doubt(self) -> bool:
        """Whether a tool that changes something may have done so all the same."""
        match self.code:
            case "unknown_outcome" | "cancelled":
                return True
            case "timeout":
                return not _UNSENT.search(self.message)
        return self.broke


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one call.

    Attributes:
        entries: the objects in it, in order; a single object is a list of one.
        labels: what each entry is called in a sentence.
        noun: what one entry is called ("listing"), or empty.
        listed: whether the output was a list, so that its entries can be counted ("the second one").
        plain: whether that list was one of plain values, no objects.
    """

    tool: str
    arguments: Mapping[str, Json]
    output: Json
    fault: Fault | None = None
    entries: tuple[Mapping[str, Json], ...] = ()
    labels: tuple[str, ...] = ()
    noun: str = ""
    listed: bool = False
    plain: bool = False

    def provides(self, slot: Slot, index: int) -> Json:
        """What an entry gives to another tool's slot: the field of the same name, or its ``id`` for an identifier."""
        if not -len(self.entries) <= index < len(self.entries):
            return None
        value = self._of_entry(slot, self.entries[index])
        # The times at which somebody is free: who that is, and on which day, stands beside the list.
        if value is None and self.plain and isinstance(self.output, dict):
            return self.output.get(slot.name) if slot.reference or slot.kind is Kind.DATE else None
        return value

    def _of_entry(self, slot: Slot, entry: Mapping[str, Json]) -> Json:
        if slot.name in entry:
            return entry[slot.name]
        if slot.reference and "id" in entry:
            noun = humanise(slot.name).rpartition(" ")[0]
            about = {stem(word) for word in (*humanise(self.tool).split(), self.noun)}
            if not noun or stem(noun.split()[-1]) in about:
                return entry["id"]
        return None

    def label_of(self, slot: Slot, value: Json) -> str:
        """What the entry with this value is called, or empty."""
        for entry, label in zip(self.entries, self.labels, strict=True):
            if value is not None and self._of_entry(slot, entry) == value:
                return label
        return ""


def read_result(
    tool: str, arguments: Mapping[str, Json], output: str, *, slots: Collection[str] = frozenset()
) -> Result:
    """Reads the output of a call: JSON as a rule, else plain text.

    Args:
        tool: its name.
        arguments: of the call.
        output: of the call.
        slots: names of everything tools can be told: a home with an id that one of them takes is what can be pointed
            at, not the features in it.
    """
    try:
        value: Json = json.loads(output) if len(output) <= _MAX_OUTPUT else output[:_MAX_OUTPUT]
    except (ValueError, RecursionError):
        value = output
    fault = _fault(value)
    if fault:
        return Result(tool, arguments, value, fault)
    listed, plain, entries, noun = _entries(value, slots)
    labels = tuple(_label(entry) for entry in entries)
    return Result(tool, arguments, value, None, entries, labels, noun, listed, plain)


def _fault(value: Json) -> Fault | None:
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    message = value.get("message")
    if isinstance(error, dict):
        fields = error.get("fields")
        told = {str(k): str(v) for k, v in fields.items()} if isinstance(fields, dict) else {}
        broke = error.get("code") == "tool_failed" and "reference" in error  # to the log, where the reason is
        return Fault(str(error.get("code") or ""), str(error.get("message") or ""), told, broke)
    if isinstance(error, str) and error:
        return Fault("", error, {})
    failed = value.get("ok") is False or value.get("success") is False or value.get("status") in ("error", "failed")
    return Fault("", message if isinstance(message, str) else "", {}) if failed else None


def _singular(key: str) -> str:
    return key[:-3] + "y" if key.endswith("ies") else key[:-1] if key.endswith("s") and not key.endswith("ss") else key


def _entries(value: Json, slots: Collection[str]) -> tuple[bool, bool, tuple[Mapping[str, Json], ...], str]:
    """Whether there is a list, whether of plain values, its entries as objects, and what one of them is called."""
    lists = [("", value)] if isinstance(value, list) else []
    if isinstance(value, dict):
        lists = [(key, inner) for key, inner in value.items() if isinstance(inner, list)]
        # Objects are what people point at; plain values ("times": ["09:00", …]) come second.
        lists.sort(key=lambda pair: not any(isinstance(entry, dict) for entry in pair[1]))
    if not lists:
        return False, False, (value,) if isinstance(value, dict) and value else (), ""
    key, found = lists[0]
    single = _singular(key)
    plain = not any(isinstance(entry, dict) for entry in found)
    if plain and isinstance(value, dict) and single not in slots and any(name in slots for name in _identifiers(value)):
        return False, False, (value,), ""
    noun = humanise(single) if key else ""
    entries = [e if isinstance(e, dict) else {single or "value": e} for e in found[:_MAX_ENTRIES]]
    return True, plain, tuple(entries), noun


def _identifiers(value: Mapping[str, Json]) -> list[str]:
    return [key for key, inner in value.items() if key.endswith(("_id", "Id")) and inner not in (None, "")]


def _label(entry: Mapping[str, Json]) -> str:
    for key in _LABEL_KEYS:
        value = entry.get(key)
        if isinstance(value, str) and 0 < len(value) <= 80:
            return value
    if len(entry) == 1:
        return say_as(next(iter(entry.values())), "", key=next(iter(entry)))
    fields = [say_field(key, value, None) for key, value in entry.items() if not _SILENT.search(key)]
    return ", ".join([said for said in fields if said and len(said) <= 40][:2])


@lru_cache(maxsize=256)
def _template(text: str) -> Template:
    return Template(text)


def say_result(tool: Tool | None, result: Result, today: date) -> list[str]:
    """The sentences that tell a result: the tool's template, a text in the result itself, or its fields in words."""
    if tool and tool.say:
        said = sentences(_template(tool.say).render(result.output, result.arguments, today=today))
        if said:
            return [*said, *_left(result, SPOKEN_ENTRIES)]
    output = result.output
    if isinstance(output, dict):
        for key in _SAID_KEYS:
            if isinstance(text := output.get(key), str) and text.strip():
                return sentences(sentence(text))
    if result.listed:
        return _say_list(result, today)
    if isinstance(output, dict):
        fields = _fields(output, today, skip="")
        done = ["Done."] if tool and tool.effect else []
        return [*done, sentence(", ".join(fields))] if fields else done or ["Done."]
    if isinstance(output, bool) or output is None or output == "":
        return ["Done."] if output is not False else ["That did not work."]
    return sentences(sentence(say_as(output, "", today=today)))


def _fields(entry: Mapping[str, Json], today: date, *, skip: str) -> list[str]:
    said = []
    for key, value in entry.items():
        if _SILENT.search(key) or value == skip or isinstance(value, dict | list):
            continue
        if key in _SUCCESS_KEYS and (value is True or str(value).lower() in _SUCCESS):
            continue
        if field := say_field(key, value, today):
            said.append(field)
    return said[:_MAX_FIELDS]


def _say_entry(entry: Mapping[str, Json], label: str, today: date) -> str:
    fields = [field for field in _fields(entry, today, skip=label) if field not in label]
    return ", ".join([label, *fields][: _MAX_FIELDS + 1]) if label else "one without a name"


def _say_list(result: Result, today: date) -> list[str]:
    count = len(result.entries)
    noun = result.noun or "result"
    if count == 0:
        return [f"I found no {noun}s." if not noun.endswith("s") else f"I found no {noun}."]
    if all(len(entry) == 1 for entry in result.entries):  # plain values
        said = say_list([label for label in result.labels[:_MAX_PLAIN] if label])
        return [sentence(f"I found {say_number(count)} {noun}{'' if count == 1 else 's'}: {said}")]
    if count == 1:
        return [f"I found one {noun}.", sentence(_say_entry(result.entries[0], result.labels[0], today))]
    return [f"I found {say_number(count)} {noun}s.", *_say_entries(result, 0, today), *_left(result, SPOKEN_ENTRIES)]


def _say_entries(result: Result, offset: int, today: date) -> list[str]:
    shown = list(zip(result.entries, result.labels, strict=True))[offset : offset + SPOKEN_ENTRIES]
    return [
        sentence(f"the {say_ordinal(n)}: {_say_entry(entry, label, today)}")
        for n, (entry, label) in enumerate(shown, start=offset + 1)
    ]


def _left(result: Result, said: int) -> list[str]:
    left = len(result.entries) - said if result.listed else 0
    return [f"There {'is' if left == 1 else 'are'} {say_number(left)} more. Say more to hear them."] if left > 0 else []


def say_more(tool: Tool | None, result: Result, offset: int, today: date) -> list[str]:
    """The next entries of a list; empty when all have been said."""
    if not result.listed or offset >= len(result.entries):
        return []
    said: list[str] = []
    if tool and tool.say:
        text = _template(tool.say).render_entries(result.output, result.arguments, today=today, offset=offset)
        said = sentences(text)
    return [*(said or _say_entries(result, offset, today)), *_left(result, offset + SPOKEN_ENTRIES)]


def describe(result: Result, index: int, today: date) -> str:
    """One entry in a sentence, when it was pointed at."""
    return sentence(_say_entry(as_object(dict(result.entries[index])), result.labels[index], today))
