"""Two agents' tools, as a session declares them, and stand-ins for what they do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

__all__ = ["ONEROOF", "PLAIN", "RECEPTION", "function", "run_oneroof", "run_plain", "run_reception"]

Json = dict[str, Any]


def function(
    name: str, properties: Json, *, required: list[str] | None = None, description: str = "", **keys: Any
) -> Json:
    """A function tool; further keywords become ``x-…`` keys of its parameters."""
    extensions = {"x-" + key: value for key, value in keys.items()}
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": list(properties) if required is None else required,
            "additionalProperties": False,
            **extensions,
        },
    }


ONEROOF = [
    function(
        "search_listings",
        {
            "bedrooms": {
                "type": "integer",
                "minimum": 0,
                "maximum": 6,
                "x-prompt": "How many bedrooms?",
                "x-values": {"0": ["studio"]},
            },
            "city": {
                "type": "string",
                "x-values": ["Oakland", "Berkeley", "Alameda", "San Leandro"],
                "x-prompt": "In which city?",
            },
            "day": {"type": "string", "format": "date"},
            "max_price": {"type": "integer", "minimum": 0},
        },
        required=["bedrooms", "city"],
        description="Finds homes for rent.",
        title="search listings",
        effect="none",
        samples=[
            "I'd like to see a {bedrooms} bedroom in {city} on {day}",
            "show me {bedrooms} bedroom apartments in {city} under {max_price}",
            "what do you have in {city}",
            "I'm looking for a home",
        ],
        say=(
            "{^listings}I found nothing like that in {city}.{/listings}"
            "{#listings}The {nth} is {address}, for {rent:money} a month.{/listings}"
        ),
    ),
    function(
        "book_viewing",
        {
            "listing_id": {"type": "string", "x-prompt": "Which one would you like to see?"},
            "day": {"type": "string", "format": "date"},
            "time": {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"},
            "name": {"type": "string", "x-prompt": "What is your name?"},
        },
        description="Books a viewing of a listing.",
        title="book a viewing",
        effect="once",
        samples=["book a viewing", "book {listing_id} on {day} at {time}", "I'd like to visit {listing_id}"],
        say="You are booked for {day} at {time}. The code is {code:spell}.",
    ),
    function(
        "send_details",
        {
            "phone": {"type": "string", "pattern": r"^\+1[0-9]{10}$", "x-prompt": "To which number?"},
            "listing_id": {"type": "string"},
        },
        description="Sends the details of a listing by text message.",
        title="send you the details",
        effect="once",
        samples=["send me the details", "text me the details of {listing_id} at {phone}"],
        say="I have sent them.",
    ),
]

RECEPTION = [
    function(
        "opening_hours",
        {"day": {"type": "string", "format": "date"}},
        required=[],
        title="tell you the opening hours",
        effect="none",
        samples=["when are you open on {day}", "what are your opening hours", "are you open {day}"],
        say="{#open}We are open from {open:time} to {close:time}.{/open}{^open}We are closed.{/open}",
    ),
    function(
        "take_message",
        {
            "name": {"type": "string", "x-prompt": "Who is it from?"},
            "phone": {"type": "string", "x-prompt": "What number can we reach you at?"},
            "message": {"type": "string", "x-prompt": "What is the message?"},
        },
        title="take a message",
        samples=["take a message", "I'd like to leave a message", "leave a message for the doctor"],
    ),
    function(
        "connect",
        {"department": {"type": "string", "enum": ["billing", "front_desk", "nurse_line"]}},
        title="connect you",
        samples=["connect me to {department}", "I want to talk to {department}", "put me through to {department}"],
    ),
    function(
        "book_appointment",
        {
            "service": {"type": "string", "enum": ["checkup", "cleaning", "x_ray"]},
            "day": {"type": "string", "format": "date"},
            "time": {"type": "string", "format": "time"},
            "name": {"type": "string"},
            "first_visit": {"type": "boolean", "x-prompt": "Is it your first visit?"},
        },
        title="book an appointment",
        samples=["book an appointment", "I need a {service} on {day} at {time}", "make an appointment for {day}"],
    ),
]

PLAIN = [
    function(
        "get_weather",
        {"location": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        required=["location"],
        description="Get the current weather for a location.",
    ),
    function("get_time", {}, description="Returns the current time"),
    function("create_reminder", {"text": {"type": "string"}, "remind_at": {"type": "string", "format": "date-time"}}),
    function(
        "order_pizza",
        {
            "size": {"type": "string", "enum": ["small", "medium", "large"]},
            "toppings": {"type": "array", "items": {"type": "string", "enum": ["ham", "mushrooms", "olives"]}},
            "quantity": {"type": "integer", "minimum": 1, "default": 1},
            "address": {"type": "string"},
        },
        required=["size", "toppings", "address"],
    ),
    function("lookup_order", {"order_number": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{4}$"}}),
]
"""Tools as any client writes them, without a word for the dialogue."""

LISTINGS = [
    {"listing_id": "L1", "address": "412 Grand Avenue", "bedrooms": 2, "rent": 2800},
    {"listing_id": "L2", "address": "9 Lake Street", "bedrooms": 2, "rent": 3100},
    {"listing_id": "L3", "address": "77 Hill Road", "bedrooms": 2, "rent": 2500},
    {"listing_id": "L4", "address": "5 Shore Drive", "bedrooms": 2, "rent": 2950},
]


def run_oneroof(name: str, arguments: Json) -> str:
    """What the tools of the agency return."""
    if name == "search_listings":
        return json.dumps({"listings": LISTINGS if arguments["city"] == "Oakland" else []})
    if name == "book_viewing":
        if arguments["time"] == "09:00":
            return json.dumps({"error": {"code": "tool_failed", "message": "That time is taken. Ten is free."}})
        return json.dumps({"listing_id": arguments["listing_id"], "code": "B7"})
    return json.dumps({"sent": True})


def run_reception(name: str, arguments: Json) -> str:
    """What the tools of the clinic return."""
    if name == "opening_hours":
        return json.dumps({"open": "08:00", "close": "17:00"})
    return json.dumps({"ok": True})


def run_plain(name: str, arguments: Json) -> str:
    """What the tools without hints return."""
    return json.dumps(
        {
            "get_weather": {"temperature": 21, "conditions": "sunny"},
            "get_time": {"time": "14:30"},
            "create_reminder": {"status": "created"},
            "order_pizza": {"order_number": "AB1234", "minutes": 35},
            "lookup_order": {"status": "in the oven"},
        }[name]
    )


Runner = Callable[[str, Json], str]
