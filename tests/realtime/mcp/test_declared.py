from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.realtime.helpers import error_of, types
from tests.realtime.mcp.helpers import URL, McpSession, server

from perhop.realtime.errors import ProtocolError
from perhop.realtime.mcp.declared import McpRules, McpServer
from perhop.realtime.session_fields import McpTool


def tool(url: str) -> McpTool:
    return McpTool(server_label="maps", server_url=url)


def permitted(url: str, *hosts: str) -> bool:
    try:
        McpRules(hosts=frozenset(hosts)).check(tool(url), at="tools[0]")
    except ProtocolError as error:
        assert error.param == "tools[0].server_url"
        assert error.code == "invalid_value"
        return False
    return True


def test_no_host_is_allowed_until_one_is_listed_and_the_error_names_the_setting() -> None:
    session = McpSession(hosts=frozenset())
    error = error_of(session.declare(server()))
    assert error["code"] == "invalid_value"
    assert error["param"] == "session.tools[0].server_url"
    assert "mcp.allowed_hosts" in error["message"]
    assert "maps.example" in error["message"]
    assert session.server.config.tools == []


@pytest.mark.parametrize(
    ("url", "listed", "allowed"),
    [
        ("https://maps.example/mcp", "maps.example", True),
        ("https://MAPS.example/mcp", "maps.example", True),
        ("https://maps.example", "maps.example", True),
        ("https://maps.example?key=1", "maps.example", True),
        ("http://maps.example/", "maps.example", True),
        ("https://maps.example:443/", "maps.example", True),
        ("https://maps.example:8443/", "maps.example", False),
        ("https://maps.example:8443/", "maps.example:8443", True),
        ("https://maps.example/", "maps.example:8443", False),
        ("https://a.maps.example/", "maps.example", False),
        ("https://a.maps.example/", "*.maps.example", True),
        ("https://a.b.maps.example/", "*.maps.example", True),
        ("https://maps.example/", "*.maps.example", False),
        ("https://evilmaps.example/", "*.maps.example", False),
        ("http://127.0.0.1:9000/mcp", "127.0.0.1:9000", True),
        ("http://[::1]:9000/mcp", "[::1]:9000", True),
        ("https://anything.example:1/", "*", True),
    ],
)
def test_hosts_are_compared_as_they_are_listed(url: str, listed: str, allowed: bool) -> None:
    assert permitted(url, listed) is allowed


@pytest.mark.parametrize(
    "url",
    [
        "ftp://maps.example/",
        "maps.example",
        "https://",
        "https:///mcp",
        "https://user:secret@maps.example/",
        "https://maps.example\\@evil.example/",
        "https://maps.example /",
        "https://maps.example/\n",
        "https://maps.example#@evil.example",
        "https://maps.example:port/",
        "https://mäps.example/",
    ],
)
def test_what_two_parsers_could_read_differently_is_no_address(url: str) -> None:
    assert not permitted(url, "*")


@given(st.text(max_size=40))
def test_only_addresses_of_listed_hosts_pass(rest: str) -> None:
    url = f"https://maps.example{rest}"
    if permitted(url, "maps.example"):
        assert rest == "" or rest[0] in "/?" or rest.startswith(":443")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"server_url": None}, "missing_required_parameter", "session.tools[0].server_url"),
        ({"connector_id": "connector_gmail"}, "invalid_value", "session.tools[0]"),
        ({"server_url": None, "connector_id": "connector_gmail"}, "invalid_value", "session.tools[0].connector_id"),
        ({"server_url": None, "tunnel_id": "t"}, "invalid_value", "session.tools[0].tunnel_id"),
        ({"authorization": "a", "headers": {"Authorization": "b"}}, "invalid_value", "session.tools[0]"),
        ({"headers": {"Host": "internal"}}, "invalid_value", "session.tools[0]"),
        ({"headers": {"x": "a\r\nHost: internal"}}, "invalid_value", "session.tools[0].headers.x"),
        ({"authorization": "a\nb"}, "invalid_value", "session.tools[0].authorization"),
        ({"server_label": ""}, "invalid_value", "session.tools[0].server_label"),
        ({"allowed_tools": {"names": []}}, "invalid_type", "session.tools[0].allowed_tools"),
        ({"require_approval": "sometimes"}, "invalid_value", "session.tools[0].require_approval"),
    ],
)
def test_a_wrong_declaration_is_refused_as_a_whole(fields: dict[str, Any], code: str, param: str) -> None:
    session = McpSession()
    given_fields = {name: value for name, value in {**server(), **fields}.items() if value is not None}
    try:
        error = error_of(session.declare(given_fields))
    except ProtocolError as refusal:  # by the parser
        error = {"code": refusal.code, "param": refusal.param}
    assert (error["code"], error["param"]) == (code, param)
    assert session.effects == []


def test_two_servers_cannot_have_one_label() -> None:
    error = error_of(McpSession().declare(server(), server()))
    assert error["param"] == "session.tools[1].server_label"


def test_a_session_has_a_bounded_number_of_servers() -> None:
    session = McpSession(max_servers=2)
    session.declare(server("a"), server("b"))
    assert "2 MCP servers" in error_of(session.declare(server("c")))["message"]
    assert types(session.declare(server("a"))) == ["session.updated"]


# -- what a label means -----------------------------------------------------------------------------------------------


def test_a_label_alone_means_what_was_defined_before() -> None:
    session = McpSession()
    session.ready(authorization="s3cret", allowed_tools=["find"])
    session.declare()
    [updated] = session.declare({"type": "mcp", "server_label": "maps"})
    [shown] = updated["session"]["tools"]
    assert shown == {**server(), "allowed_tools": ["find"]}
    assert session.effects == [], "nothing is listed again"
    session.declare({"type": "mcp", "server_label": "maps", "allowed_tools": ["book"]})
    assert [f["name"] for f in session.server.functions] == ["book"]


def test_credentials_are_never_shown() -> None:
    session = McpSession()
    frames = session.declare(server(authorization="s3cret", headers={"x-key": "s3cret"}))
    assert "s3cret" not in repr(frames)
    assert "s3cret" not in repr(session.listings)
    assert "s3cret" not in repr(session.server.config)
    assert session.listings[0].server == McpServer("maps", URL, "s3cret", (("x-key", "s3cret"),))


def test_a_client_may_send_back_what_it_was_shown() -> None:
    session = McpSession()
    [updated, *_] = session.declare(server(authorization="s3cret"))
    session.forget()
    function = {"type": "function", "name": "look"}
    assert types(session.declare(*updated["session"]["tools"], function)) == ["session.updated"]
    assert session.effects == []
    session.declare(server(authorization="other"))
    assert session.listings[0].server.authorization == "other"


def test_a_session_that_starts_with_a_forbidden_server_starts_without_it() -> None:
    session = McpSession({"tools": [{"type": "function", "name": "look"}, server()]}, hosts=frozenset())
    assert [f["name"] for f in session.server.functions] == ["look"]
    assert session.effects == []


def test_a_session_can_start_with_a_server() -> None:
    session = McpSession({"tools": [server()]})
    assert session.server.next_deadline() is not None, "its tools are being listed"
