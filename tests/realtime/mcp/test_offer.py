from __future__ import annotations

from typing import Any

import pytest

from perhop.realtime.mcp.effects import McpToolInfo
from perhop.realtime.mcp.offer import Offer, allowed, chosen, make_offer, needs_approval
from perhop.realtime.session_fields import McpTool

READS = McpToolInfo("reads", annotations={"readOnlyHint": True})
WRITES = McpToolInfo("writes")


def declared(label: str = "maps", **fields: Any) -> McpTool:
    return McpTool.model_validate(
        {"type": "mcp", "server_label": label, "server_url": "https://maps.example/", **fields}
    )


def names(offer: Offer) -> list[str]:
    return [function["name"] for function in offer.functions]


@pytest.mark.parametrize(
    ("rule", "reads", "writes"),
    [
        (None, True, True),
        (["reads"], True, False),
        ([], False, False),
        ({"tool_names": ["writes"]}, False, True),
        ({"read_only": True}, True, False),
        ({"read_only": False}, False, True),
        ({"read_only": True, "tool_names": ["writes"]}, False, False),
    ],
)
def test_which_tools_are_allowed(rule: Any, reads: bool, writes: bool) -> None:
    tool = declared(allowed_tools=rule)
    assert (allowed(tool, READS), allowed(tool, WRITES)) == (reads, writes)


@pytest.mark.parametrize(
    ("rule", "reads", "writes"),
    [
        (None, True, True),
        ("always", True, True),
        ("never", False, False),
        ({"never": {"read_only": True}}, False, True),
        ({"never": {"tool_names": ["writes"]}}, True, False),
        ({"always": {"tool_names": ["writes"]}}, False, True),
        ({"always": {"tool_names": ["reads"]}, "never": {"read_only": True}}, True, True),
        ({"always": {"tool_names": ["other"]}, "never": {"tool_names": ["writes"]}}, True, False),
        ({}, True, True),
        ({"never": {}}, True, True),
    ],
)
def test_which_calls_need_approval(rule: Any, reads: bool, writes: bool) -> None:
    tool = declared(require_approval=rule)
    assert (needs_approval(tool, READS), needs_approval(tool, WRITES)) == (reads, writes)


def test_a_tool_becomes_a_function_of_its_name_and_schema() -> None:
    schema = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
    offer = make_offer([], [(declared(), [McpToolInfo("find", "Finds.", schema)])])
    assert offer.functions == ({"type": "function", "name": "find", "description": "Finds.", "parameters": schema},)
    assert (offer.mcp["find"].server.label, offer.mcp["find"].name) == ("maps", "find")


def test_a_tool_that_only_reads_needs_no_confirmation_by_the_caller() -> None:
    [reads, writes] = make_offer([], [(declared(), [READS, WRITES])]).functions
    assert reads["parameters"]["x-effect"] == "none"
    assert "x-effect" not in writes["parameters"]


def test_functions_of_the_client_keep_their_names() -> None:
    client = {"type": "function", "name": "reads"}
    offer = make_offer([client], [(declared("a"), [READS]), (declared("b"), [READS]), (declared("b b"), [READS])])
    assert names(offer) == ["reads", "a_reads", "b_reads", "b_b_reads"]
    assert offer.functions[0] is client
    assert "reads" not in offer.mcp


def test_names_are_made_of_the_characters_that_functions_may_have() -> None:
    odd = [McpToolInfo("search/docs.v1"), McpToolInfo("search.docs/v1"), McpToolInfo("x" * 100), McpToolInfo("")]
    offer = make_offer([], [(declared("a b"), odd)])
    assert names(offer) == ["search_docs_v1", "a_b_search_docs_v1", "x" * 64, "tool"]
    assert offer.function_of("a b", "search.docs/v1") == "a_b_search_docs_v1"
    assert offer.function_of("gone", "what ever") == "what_ever"


def test_the_same_name_is_given_once_however_often_it_is_wanted() -> None:
    offer = make_offer([], [(declared(), [McpToolInfo("x" * 70) for _ in range(4)])])
    assert len(set(names(offer))) == 4
    assert all(len(name) <= 64 for name in names(offer))


def test_a_choice_of_a_server_is_a_choice_among_its_tools() -> None:
    client = {"type": "function", "name": "look"}
    offer = make_offer([client], [(declared("a"), [READS]), (declared("b"), [READS, WRITES])])
    only, choice = chosen(offer, {"type": "mcp", "server_label": "b"})
    assert (names(only), choice) == (["b_reads", "writes"], "required")
    only, choice = chosen(offer, {"type": "mcp", "server_label": "b", "name": "reads"})
    assert (names(only), choice) == (["b_reads", "writes"], {"type": "function", "name": "b_reads"})


@pytest.mark.parametrize("choice", [{"server_label": "gone"}, {"server_label": "a", "name": "gone"}])
def test_a_choice_of_what_is_not_there_leaves_the_model_free(choice: dict[str, Any]) -> None:
    offer = make_offer([], [(declared("a"), [READS])])
    assert chosen(offer, {"type": "mcp", **choice}) == (offer, "auto")


@pytest.mark.parametrize("choice", ["none", "required", {"type": "function", "name": "reads"}])
def test_any_other_choice_stays_what_it_is(choice: Any) -> None:
    offer = make_offer([], [(declared("a"), [READS])])
    assert chosen(offer, choice) == (offer, choice)
