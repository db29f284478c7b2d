"""No value leaves its place: not in a path, a query, a header, a body, nor in the template itself."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from perhop.tools.base import ToolContext
from perhop.tools.errors import InvalidArgumentsError, ToolDefinitionError
from perhop.tools.kinds.http import HttpTool, Prepared
from perhop.tools.kinds.template import JsonTemplate, Template, for_header, for_path

CONTEXT = ToolContext(call_id="rtc_1", agent="desk", tenant="acme", function_call_id="call_1")
TEXT = {"type": "string"}


def http_tool(**changes: Any) -> HttpTool:
    given: dict[str, Any] = {
        "name": "find",
        "description": "Finds.",
        "method": "POST",
        "url": "https://api.example/v1/places/{place}/rooms-{room}",
        "parameters": {
            "type": "object",
            "properties": {"place": TEXT, "room": TEXT, "q": TEXT, "who": TEXT, "note": {}},
            "required": ["place", "room"],
        },
        "query": {"q": "{q}", "fixed": "yes & no", "sentence": "about {q}!"},
        "header_arguments": {"X-Who": "user {who}"},
        "headers": {"Authorization": SecretStr("Bearer s3cret")},
        "body": {"note": "{note}"},
    }
    return HttpTool(**{**given, **changes})


TOOL = http_tool()
ANYTHING = st.text(max_size=40) | st.sampled_from(
    [
        "..",
        ".",
        "",
        "/",
        "../../admin",
        "a?b=c",
        "a#b",
        "%2e%2e",
        "%2F",
        "{q}",
        "{{place}}",
        "@evil.example",
        "\r\nX: y",
    ]
)


def prepare(tool: HttpTool, **values: Any) -> Prepared | None:
    try:
        return tool.prepare(tool.validate(values), CONTEXT)
    except InvalidArgumentsError:
        return None


@given(place=ANYTHING, room=ANYTHING, q=ANYTHING)
def test_host_and_path_keep_their_shape_whatever_stands_in_them(place: str, room: str, q: str) -> None:
    request = prepare(TOOL, place=place, room=room, q=q)
    if request is None:
        return
    url = httpx2.URL(request.url)
    assert (url.scheme, url.host, url.userinfo) == ("https", "api.example", b"")
    target = url.raw_path.decode()
    path, _, query = target.partition("?")
    segments = path.split("/")
    assert segments[:3] == ["", "v1", "places"]
    assert len(segments) == 5
    assert unquote(segments[3]) == place
    assert unquote(segments[4]) == f"rooms-{room}"
    assert parse_qsl(query, keep_blank_values=True) == [("q", q), ("fixed", "yes & no"), ("sentence", f"about {q}!")]
    assert "#" not in target


@pytest.mark.parametrize("place", ["..", ".", "", "../admin", "a/../b", "a\\..\\b", "a\nb", "\x00", "\ud800"])
def test_a_way_up_an_empty_segment_and_control_characters_are_refused(place: str) -> None:
    assert prepare(TOOL, place=place, room="1") is None


def test_two_places_cannot_make_dots_together() -> None:
    tool = http_tool(url="https://api.example/{place}{room}", query={"q": "{q}"})
    assert prepare(tool, place=".", room=".") is None
    assert prepare(tool, place="", room="") is None
    assert prepare(tool, place="a", room="b") is not None


@given(who=ANYTHING)
def test_a_header_stays_one_line_of_its_own(who: str) -> None:
    request = prepare(TOOL, place="p", room="1", who=who)
    if request is not None:
        assert request.headers["X-Who"] == f"user {who}"
        assert who.isascii()
        assert who.isprintable()
        assert request.headers["Authorization"] == "Bearer s3cret"


@given(note=st.recursive(ANYTHING | st.integers(-5, 5) | st.booleans() | st.none(), st.lists, max_leaves=4))
def test_a_body_is_json_whatever_stands_in_it(note: object) -> None:
    request = prepare(TOOL, place="p", room="1", note=note)
    if request is not None:
        assert json.loads(request.content or b"") == {"note": note}


@given(note=st.text())
def test_a_text_with_a_place_inside_a_body_stays_one_text(note: str) -> None:
    filled = JsonTemplate({"a": ["said: {note}, {{note}}"]}, known=["note"], what="x").fill({"note": note})
    assert filled == {"a": [f"said: {note}, {{note}}"]}


def test_what_is_put_into_a_template_is_no_template() -> None:
    assert Template("{a}-{b}", known=["a", "b"], what="x").fill({"a": "{b}", "b": "{a}"}) == "{b}-{a}"


def test_a_text_that_is_one_place_keeps_the_type_and_goes_when_absent() -> None:
    template = JsonTemplate({"n": "{n}", "deep": {"l": ["{n}", "{m}"]}}, known=["n", "m"], what="x")
    assert template.fill({"n": [1, True]}) == {"n": [1, True], "deep": {"l": [[1, True]]}}


def test_numbers_and_truth_values_in_texts_are_written_as_json_has_them() -> None:
    template = Template("{n}/{b}", known=["n", "b"], what="x")
    assert template.fill({"n": 1.5, "b": True}) == "1.5/true"
    with pytest.raises(InvalidArgumentsError, match="n: must be a text"):
        template.fill({"n": {"a": 1}})


@pytest.mark.parametrize("text", ["{", "}", "{a", "a}", "{a b}", "{0}", "{a.b}", "{a!r}", "{}", "${a}}"])
def test_a_brace_that_stands_alone_is_a_mistake_of_whoever_wrote_the_template(text: str) -> None:
    with pytest.raises(ToolDefinitionError):
        Template(text, known=["a"], what="x")


def test_a_place_for_nothing_is_a_mistake_too() -> None:
    with pytest.raises(ToolDefinitionError, match="no parameter 'b'; there are: a"):
        Template("{b}", known=["a"], what="x")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "https://{place}.example/{room}"}, "fixed host"),
        ({"url": "{place}://api.example/{room}"}, "fixed host"),
        ({"url": "ftp://api.example/"}, "http:// or https://"),
        ({"url": "https://user:pw@api.example/"}, "fixed host"),
        ({"url": "https://api.example/{place}?x={room}"}, "belongs into query"),
        ({"url": "https://api.example/{place}#{room}"}, "without"),
        ({"url": "https://api.example/{place}/{q}", "query": {}}, "'q' stands in the url, so it has to be required"),
        ({"url": "https://api.example/{town}"}, "no parameter 'town'"),
        ({"query": {"a": "{town}"}}, "no parameter 'town'"),
        ({"header_arguments": {"X-A": "{town}"}}, "no parameter 'town'"),
        ({"header_arguments": {"X A": "{who}"}}, "cannot be set"),
        ({"header_arguments": {"Host": "{who}"}}, "cannot be set"),
        ({"header_arguments": {"authorization": "{who}"}}, "set twice"),
        ({"headers": {"Content-Length": SecretStr("1")}}, "cannot be set"),
        ({"headers": {"X-A": SecretStr("a\r\nb")}}, "printable ASCII"),
        ({"body": {"a": "{town}"}}, "no parameter 'town'"),
        ({"body": {}}, "nothing says where note"),
        ({"method": "GET"}, "a GET has no body"),
        ({"parameters": {"type": "array"}}, "object"),
        ({"parameters": {"type": "object", "properties": {"a": {"type": "nonsense"}}}}, "no valid JSON Schema"),
        ({"parameters": {"type": "object", "properties": {"a": {"$ref": "http://x.example/s"}}}}, "JSON Schema"),
        ({"parameters": {"type": "object", "properties": {"a": {"pattern": "(a+)\\1"}}}}, "JSON Schema"),
    ],
)
def test_what_cannot_work_is_told_when_the_tool_is_defined(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ToolDefinitionError, match=says) as caught:
        http_tool(**changes)
    assert "s3cret" not in str(caught.value)


def test_arguments_that_nothing_names_go_into_the_body_or_without_one_into_the_query() -> None:
    plain = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "array"}}}
    post = http_tool(url="https://api.example/x", parameters=plain, query={}, header_arguments={}, body=None)
    request = prepare(post, a=1, b=["x", "y"])
    assert request is not None
    assert (request.url, request.content) == ("https://api.example/x", b'{"a":1,"b":["x","y"]}')
    get = http_tool(
        url="https://api.example/x", parameters=plain, query={}, header_arguments={}, body=None, method="GET"
    )
    request = prepare(get, a=1, b=["x y", "&"])
    assert request is not None
    assert (urlsplit(request.url).query, request.content) == ("a=1&b=x+y&b=%26", None)


def test_a_form_is_written_as_a_form() -> None:
    tool = http_tool(body_type="form")
    request = prepare(tool, place="p", room="1", note="a=b&c")
    assert request is not None
    assert request.content == b"note=a%3Db%26c"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert prepare(tool, place="p", room="1", note={"a": 1}) is None


def test_an_address_has_a_longest_length() -> None:
    assert prepare(TOOL, place="p" * 9_000, room="1") is None


def test_the_credentials_are_in_no_text_about_the_tool() -> None:
    assert "s3cret" not in repr(TOOL)
    assert "s3cret" not in str(TOOL.to_function())
    request = prepare(TOOL, place="p", room="1")
    assert "s3cret" not in repr(request)


@given(st.text())
def test_the_encoders_refuse_or_encode_and_never_let_anything_through(text: str) -> None:
    for encode, allowed in ((for_path, "/?#\\"), (for_header, "\r\n\0")):
        try:
            filled = encode("a", text)
        except InvalidArgumentsError:
            continue
        assert not set(filled) & set(allowed)
