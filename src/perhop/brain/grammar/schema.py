"""What a tool's JSON schema means to a dialogue: slots of known kinds, the words for their values, sample phrases.

Reads the shape of ``session.tools`` (``{"type": "function", "name", "description", "parameters"}``) leniently: whatever
it cannot use is left out, because tools come from clients and none of them may break a conversation. The ``x-…`` keys
are described in ``docs/agents.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from perhop.text.verbalise import spoken_number
from perhop.text.words import split, vocabulary

__all__ = ["Choice", "Kind", "Slot", "Tool", "humanise", "read_tools", "stem"]

_MAX_TOOLS = 64
_MAX_SLOTS = 24
_MAX_CHOICES = 200
_MAX_SAMPLES = 40
_MAX_TEXT = 400

_READING_VERBS = frozenset(
    vocabulary("check compare count describe fetch find get list look lookup query read search see show view")
)


class Kind(StrEnum):
    """How a slot's value is spoken."""

    BOOLEAN = "boolean"
    CHOICE = "choice"
    CODE = "code"
    """Letters and digits, spelled: identifiers, licence plates, anything with a pattern."""
    DATE = "date"
    DATE_TIME = "date_time"
    EMAIL = "email"
    INTEGER = "integer"
    LIST = "list"
    MONEY = "money"
    NAME = "name"
    NUMBER = "number"
    PHONE = "phone"
    TEXT = "text"
    """Anything; taken as it was said."""
    TIME = "time"
    UNFIT = "unfit"
    """Nothing a voice can fill: objects, tuples."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a closed or known vocabulary.

    Attributes:
        value: as it stands in the arguments.
        words: as it is said, lower case.
        label: as it is read back.
    """

    value: str | int | float
    words: tuple[str, ...]
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One parameter of a tool.

    Attributes:
        noun: how it is called in a sentence: ``max_price`` is "maximum price".
        choices: the values with words of their own; of a number those that also have a name ("studio" is 0 bedrooms).
        open: whether values beyond ``choices`` are accepted.
        index: the spoken forms of the choices by their first word, stemmed.
        schema: the JSON schema of the value, references resolved.
        item: what a list is made of.
        past: whether a date without a year lies behind rather than ahead.
    """

    name: str
    kind: Kind
    noun: str
    required: bool = False
    prompt: str = ""
    say: str = ""
    choices: tuple[Choice, ...] = ()
    open: bool = False
    index: Mapping[str, tuple[tuple[tuple[str, ...], str | int | float], ...]] = field(default_factory=dict)
    schema: Mapping[str, Any] = field(default_factory=dict)
    item: Slot | None = None
    past: bool = False

    def label(self, value: object) -> str | None:
        """What a known value is called."""
        return next((choice.label for choice in self.choices if choice.value == value), None)

    @property
    def reference(self) -> bool:
        """Whether it may be meant by pointing at a result ("the first one"): an identifier."""
        return self.name == "id" or self.name.endswith(("_id", "Id", "_ref"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One function tool as the dialogue sees it.

    Attributes:
        title: completes "I can …", lower case first.
        effect: whether it changes anything, so that it is confirmed before it is called.
        say: template of the result, empty for the generic one.
        samples: phrases that ask for it, slots in braces.
        pronunciations: CMU phones of words no dictionary has, one string a variant.
    """

    name: str
    title: str
    description: str = ""
    effect: bool = True
    say: str = ""
    samples: tuple[str, ...] = ()
    slots: Mapping[str, Slot] = field(default_factory=dict)
    pronunciations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def required(self) -> tuple[Slot, ...]:
        """What it cannot be called without, in the order of the schema."""
        return tuple(slot for slot in self.slots.values() if slot.required)

    @property
    def fit(self) -> bool:
        """Whether a voice can fill everything it requires."""
        return all(slot.kind is not Kind.UNFIT for slot in self.required)


def humanise(name: str) -> str:
    """An identifier in words: ``max_price`` is "maximum price", ``listingId`` "listing id"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").lower().split()
    return " ".join(_WORDS.get(word, word) for word in words)


_WORDS = {
    "max": "maximum",
    "min": "minimum",
    "num": "number of",
    "qty": "quantity",
    "dob": "date of birth",
    "tel": "phone",
}


def stem(word: str) -> str:
    """Without a plural or possessive ending: enough to meet "dogs" with "dog"."""
    word = word.removesuffix("'s")
    return word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] not in "su" else word


def _index(choices: Iterable[Choice]) -> dict[str, tuple[tuple[tuple[str, ...], str | int | float], ...]]:
    found: dict[str, tuple[tuple[tuple[str, ...], str | int | float], ...]] = {}
    for choice in choices:
        for text in choice.words:
            spoken = tuple(stem(word) for word in text.split())
            found[spoken[0]] = (*found.get(spoken[0], ()), (spoken, choice.value))
    return found


def _text(value: object, limit: int = _MAX_TEXT) -> str:
    return " ".join(value.split())[:limit] if isinstance(value, str) else ""


def _strings(value: object, limit: int) -> list[str]:
    return [text for item in value[:limit] if (text := _text(item))] if isinstance(value, list | tuple) else []


class _Reader:
    """Resolves the local references of one tool's parameters."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def resolve(self, schema: object, depth: int = 0) -> dict[str, Any]:
        """The schema itself without references, "or null" and single-branch unions."""
        if not isinstance(schema, Mapping) or depth > 8:
            return {}
        merged = dict(schema)
        reference = merged.pop("$ref", None)
        if isinstance(reference, str) and reference.startswith("#/"):
            target: object = self._root
            for part in reference[2:].split("/"):
                target = target.get(part) if isinstance(target, Mapping) else None
            merged = {**self.resolve(target, depth + 1), **merged}
        for union in ("anyOf", "oneOf", "allOf"):
            branches = merged.get(union)
            if isinstance(branches, list):
                kept = [b for b in branches if not (isinstance(b, Mapping) and b.get("type") == "null")]
                if len(kept) == 1:
                    del merged[union]
                    merged = {**self.resolve(kept[0], depth + 1), **merged}
        kinds = merged.get("type")
        if isinstance(kinds, list):
            kept_kinds = [kind for kind in kinds if kind != "null"]
            merged["type"] = kept_kinds[0] if len(kept_kinds) == 1 else None
        return merged


def _choices(schema: Mapping[str, Any]) -> tuple[tuple[Choice, ...], bool]:
    """The known values, and whether others are accepted too."""
    labels = schema.get("x-values")
    said: dict[str, list[str]] = {}
    if isinstance(labels, Mapping):
        said = {str(value): _strings(words, 8) or [str(words)] for value, words in labels.items()}
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    closed = isinstance(values, list) and bool(values)
    known = values if isinstance(values, list) and values else list(said) or labels
    found = []
    for value in known[:_MAX_CHOICES] if isinstance(known, list) else ():
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            continue
        label = (said.get(str(value)) or [_label(value)])[0]
        numeral = [spoken_number(value)] if isinstance(value, int | float) else []
        texts = (label, str(value), *numeral, *said.get(str(value), ()))
        words = tuple(dict.fromkeys(text for text in map(_plain, texts) if text))
        if words:
            found.append(Choice(value, words, label))
    return tuple(found), not closed


def _names_of_numbers(schema: Mapping[str, Any]) -> tuple[Choice, ...]:
    """The values of a number that also have a name of their own: ``{"0": ["studio"]}``."""
    names = schema.get("x-values")
    found = []
    for key, given in list(names.items())[:_MAX_CHOICES] if isinstance(names, Mapping) else ():
        value = _number(str(key))
        labels = _strings(given, 8) or [text for text in [_text(given)] if text]
        words = tuple(dict.fromkeys(text for text in map(_plain, labels) if text))
        if value is not None and words:
            found.append(Choice(value, words, labels[0]))
    return tuple(found)


def _number(text: str) -> int | float | None:
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", text):
        return None
    return float(text) if "." in text else int(text)


def _plain(text: str) -> str:
    """As a recogniser would write it: lower-case words without marks."""
    return " ".join(word.text for word in split(text) if word.text[0].isalnum())


def _label(value: object) -> str:
    """A value of an enum in words: ``two_bedroom`` is "two bedroom"; others as they are."""
    text = str(value)
    return text.replace("_", " ") if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", text) else text


_NAMED_KINDS: tuple[tuple[re.Pattern[str], Kind], ...] = tuple(
    (re.compile(rf"(^|_){pattern}"), kind)
    for pattern, kind in (
        (r"(e_?mail|email_address)$", Kind.EMAIL),
        (r"(phone|mobile|telephone|tel|cell|fax|phone_number|callback|callback_number)$", Kind.PHONE),
        (r"(date|day|dob|birthday|birthdate|date_of_birth)$", Kind.DATE),
        (r"(time|hour|start_time|end_time)$", Kind.TIME),
        (r"(name|first_name|last_name|surname|full_name|caller|patient|customer|guest|attendee)$", Kind.NAME),
        (r"(id|ref|code|reference|number|plate|zip|zip_code|postcode|postal_code|pin)$", Kind.CODE),
    )
)
_PLACES = re.compile(r"(^|_)(city|town|location|place|country|state|region|neighbou?rhood|destination|origin|airport)$")
"""A few words that name something, out of a vocabulary nobody listed: a choice that is open and empty."""
_MONEY = re.compile(r"(^|_)(price|rent|cost|amount|budget|fee|deposit|salary|total|income|payment)(_|$)")
_WITH_CHOICES = frozenset({Kind.CHOICE, Kind.INTEGER, Kind.MONEY, Kind.NUMBER})
_FORMATS = {"date": Kind.DATE, "time": Kind.TIME, "date-time": Kind.DATE_TIME, "email": Kind.EMAIL, "phone": Kind.PHONE}


def _kind(name: str, schema: Mapping[str, Any], *, choices: bool) -> Kind:
    type_ = schema.get("type")
    if choices and type_ in ("string", "integer", "number", None):
        return Kind.CHOICE
    match type_:
        case "integer" | "number":
            if _MONEY.search(snake(name)):
                return Kind.MONEY
            return Kind.INTEGER if type_ == "integer" else Kind.NUMBER
        case "boolean":
            return Kind.BOOLEAN
        case "array":
            return Kind.LIST
        case "string":
            if kind := _FORMATS.get(str(schema.get("format"))):
                return kind
            for pattern, kind in _NAMED_KINDS:
                if pattern.search(snake(name)):
                    return kind
            if isinstance(schema.get("pattern"), str):
                return Kind.CODE
            return Kind.CHOICE if _PLACES.search(snake(name)) else Kind.TEXT
    return Kind.UNFIT


def snake(name: str) -> str:
    """``listingId`` is ``listing_id``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def _slot(reader: _Reader, name: str, schema: object, *, required: bool, nested: bool = False) -> Slot:
    resolved = reader.resolve(schema)
    if isinstance(look := resolved.get("x-pattern"), str):
        resolved.setdefault("pattern", look)
    numeric = resolved.get("type") in ("integer", "number") and not {"const", "enum"} & resolved.keys()
    choices, open_ = (_names_of_numbers(resolved), True) if numeric else _choices(resolved)
    kind = _kind(name, resolved, choices=bool(choices) and not numeric)
    item = None
    if kind is Kind.LIST:
        item = None if nested else _slot(reader, _singular(name), resolved.get("items"), required=True, nested=True)
        if item is None or item.kind in (Kind.UNFIT, Kind.LIST):
            kind = Kind.UNFIT
    return Slot(
        name=name,
        kind=kind,
        noun=humanise(name),
        required=required,
        prompt=_text(resolved.get("x-prompt")),
        say=_text(resolved.get("x-say")),
        choices=choices if kind in _WITH_CHOICES else (),
        open=open_,
        index=_index(choices) if kind in _WITH_CHOICES else {},
        schema=resolved,
        item=item,
        past=kind is Kind.DATE and bool(re.search(r"birth|dob", name.lower())),
    )


def _singular(name: str) -> str:
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def _pronunciations(schemas: Iterable[object]) -> dict[str, tuple[str, ...]]:
    found = {}
    for schema in schemas:
        words = schema.get("x-pronounce") if isinstance(schema, Mapping) else None
        for word, phones in words.items() if isinstance(words, Mapping) else ():
            variants = _strings(phones, 8) if isinstance(phones, list | tuple) else [_text(phones)]
            if isinstance(word, str) and variants and all(variants):
                # ["K", "AE", "T"] is one pronunciation, ["K AE T", "K AH T"] are two.
                single = len(variants) > 1 and not any(" " in variant for variant in variants)
                found[word.lower()] = (" ".join(variants),) if single else tuple(variants)
    return found


def _tool(spec: Mapping[str, Any]) -> Tool | None:
    # Chat-completions clients nest the same fields under "function".
    inner = spec.get("function")
    if isinstance(inner, Mapping):
        spec = inner
    name = spec.get("name")
    if spec.get("type", "function") != "function" or not isinstance(name, str) or not name:
        return None
    given = spec.get("parameters")
    parameters: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    reader = _Reader(parameters)
    properties = parameters.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = parameters.get("required")
    required = required if isinstance(required, list) else []
    slots = {
        str(key): _slot(reader, str(key), schema, required=key in required)
        for key, schema in list(properties.items())[:_MAX_SLOTS]
    }
    for key in required[:_MAX_SLOTS]:
        if isinstance(key, str) and key not in slots:  # promised but not described: nobody can know what to say
            slots[key] = Slot(name=key, kind=Kind.UNFIT, noun=humanise(key), required=True)
    effect = parameters.get("x-effect")
    description = _text(spec.get("description"))
    title = _text(parameters.get("x-title"), 80) or _title(name, description)
    return Tool(
        name=name,
        title=title[:1].lower() + title[1:],
        description=description,
        effect=effect != "none" if isinstance(effect, str) else snake(name).split("_")[0] not in _READING_VERBS,
        say=_text(parameters.get("x-say"), 2 * _MAX_TEXT),
        samples=tuple(_strings(parameters.get("x-samples"), _MAX_SAMPLES)),
        slots=slots,
        pronunciations=_pronunciations([parameters, *properties.values()]),
    )


def _title(name: str, description: str) -> str:
    """What completes "I can …" for a tool that does not say: its name, unless that is a lone noun ("weather") and the
    description begins with what the tool does ("Looks up the weather.")."""
    words = humanise(name)
    begin = re.match(r"([A-Za-z]+)(( [\w'-]+){1,7})(?=[.,;:(]|$)", description)
    if " " in words or begin is None:
        return words
    verb = _bare(begin[1].lower())
    return f"{verb}{begin[2]}" if verb else words


def _bare(verb: str) -> str:
    """A verb without the ending of the third person: "looks" is "look"; empty for what is none."""
    if verb in _READING_VERBS:
        return verb
    if len(verb) < 4 or not verb.endswith("s") or verb.endswith(("ss", "us", "is", "as")):
        return ""
    if verb.endswith("ies"):
        return f"{verb[:-3]}y"
    return verb[:-2] if verb.endswith(("ches", "shes", "sses", "xes", "zzes", "oes")) else verb[:-1]


def read_tools(specs: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    """The function tools among ``session.tools``, at most 64, the first of each name."""
    found: dict[str, Tool] = {}
    for spec in specs[:_MAX_TOOLS]:
        tool = _tool(spec)
        if tool is not None:
            found.setdefault(tool.name, tool)
    return tuple(found.values())
