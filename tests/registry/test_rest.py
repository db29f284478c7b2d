"""``/api/agents`` and ``/api/tools``: agents and tools over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.api.helpers import OFFER, SDP, World, bearer, build_world, key
from tests.registry.conftest import OpenRegistry

from perhop.config import Settings
from perhop.registry import Registry

TOOL = {"kind": "bus", "description": "Finds.", "parameters": {"properties": {"id": {"type": "string"}}}}
ADMIN = bearer("sk-admin")
KEYS = (
    key("sk-admin", name="ann", scopes=("admin",)),
    key("sk-acme", name="acme", tenant="acme", scopes=("admin",)),
    key("sk-calls", name="calls"),
)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind is enough here: what differs between them is under test where the registry itself is."""
    return sqlite_url


@pytest.fixture
async def registry(open_: OpenRegistry) -> Registry:
    secret = {"kind": "http", "description": "X.", "url": "https://a.example/", "headers": {"X-Key": "s3cret"}}
    return await open_(agents=[{"name": "desk", "model": "echo"}], tools={"in_file": secret})


@pytest.fixture
def world(registry: Registry) -> World:
    world = build_world(Settings(keys=KEYS))
    world.services.agents = registry
    world.services.registry = registry
    return world


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client(base_url="https://voice.example", headers=ADMIN) as client:
        yield client


async def test_an_agent_made_over_rest_takes_the_next_call(api: httpx.AsyncClient, world: World) -> None:
    calls = {**SDP, **bearer("sk-calls")}
    path = "/v1/realtime/calls?agent=new"
    assert (await api.post(path, content=OFFER, headers=calls)).status_code == 404
    made = await api.put("/api/agents/new", json={"model": "echo", "instructions": "Be brief.", "voice": "cedar"})
    assert (made.status_code, made.headers["etag"]) == (200, '"1"')
    assert (await api.post(path, content=OFFER, headers=calls)).status_code == 201
    [call] = world.services.calls.live()
    changed = await api.put("/api/agents/new", json={"model": "echo"}, headers={"If-Match": '"1"'})
    assert changed.json()["version"] == 2
    assert call.agent is not None
    assert call.agent.fixed["instructions"] == "Be brief."
    assert "instructions" not in world.services.agents.get("new").fixed


async def test_an_agent_is_shown_as_it_was_said(api: httpx.AsyncClient) -> None:
    said = {"model": "echo", "languages": ["en"], "privacy": {"redact": ["email"]}, "budget": {"call_cost": "0.5"}}
    await api.put("/api/agents/new", json=said)
    shown = (await api.get("/api/agents/new")).json()
    assert (shown["definition"], shown["changed_by"], shown["problem"]) == (said, "key ann", None)


async def test_changing_says_which_version_it_changes(api: httpx.AsyncClient) -> None:
    await api.put("/api/agents/new", json={"title": "1"})
    unsaid = await api.put("/api/agents/new", json={"title": "2"})
    assert (unsaid.status_code, unsaid.json()["error"]["code"], unsaid.headers["etag"]) == (
        428,
        "precondition_required",
        '"1"',
    )
    assert (await api.put("/api/agents/new", json={"title": "2"}, headers={"If-Match": '"1"'})).status_code == 200
    late = await api.put("/api/agents/new", json={"title": "3"}, headers={"If-Match": '"1"'})
    assert (late.status_code, late.json()["error"]["code"], late.headers["etag"]) == (412, "changed_meanwhile", '"2"')
    fresh = await api.put("/api/agents/new", json={"title": "3"}, headers={"If-None-Match": "*"})
    assert fresh.status_code == 412
    assert (await api.put("/api/agents/new", json={"title": "3"}, headers={"If-Match": "*"})).json()["version"] == 3
    assert (await api.put("/api/agents/gone", json={}, headers={"If-Match": '"1"'})).status_code == 412
    assert (await api.put("/api/agents/new", json={}, headers={"If-Match": "three"})).status_code == 400


async def test_deleting_takes_a_version_too(api: httpx.AsyncClient) -> None:
    await api.put("/api/agents/new", json={})
    assert (await api.delete("/api/agents/new")).status_code == 428
    assert (await api.delete("/api/agents/new", headers={"If-Match": '"1"'})).status_code == 204
    assert (await api.get("/api/agents/new")).status_code == 404
    assert (await api.delete("/api/agents/new", headers={"If-Match": "*"})).status_code == 404
    versions = (await api.get("/api/agents/new/versions")).json()["versions"]
    assert [(one["version"], one["deleted"]) for one in versions] == [(2, True), (1, False)]
    assert (await api.get("/api/agents/new/versions/1")).json()["definition"] == {}
    assert (await api.get("/api/agents/new/versions/2")).status_code == 404


async def test_versions_and_lists_come_in_pages(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await api.put("/api/agents/new", json={"title": str(number)}, headers={"If-Match": "*"} if number else {})
        await api.put(f"/api/tools/tool{number}", json=TOOL)
    page = (await api.get("/api/agents/new/versions?limit=3")).json()
    rest = (await api.get(f"/api/agents/new/versions?limit=3&before={page['before']}")).json()
    assert [one["version"] for one in page["versions"] + rest["versions"]] == [5, 4, 3, 2, 1]
    assert rest["before"] is None
    names, after = [], ""
    while after is not None:
        page = (await api.get(f"/api/tools?limit=2&after={after}")).json()
        names += [(tool["name"], tool["source"]) for tool in page["tools"]]
        after = page["after"]
    assert names == [("in_file", "file"), *((f"tool{number}", "registry") for number in range(5))]
    agents = (await api.get("/api/agents?definitions=true&limit=1")).json()
    assert ([agent["name"] for agent in agents["agents"]], agents["after"]) == (["desk"], "desk")


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param", "words"),
    [
        ("agents/x", {"instruction": "x"}, 400, "invalid_value", "instruction", "unknown field"),
        ("agents/x", {"route": "scenic"}, 400, "invalid_value", "route", "gateway"),
        ("agents/x", {"name": "y"}, 400, "invalid_value", "name", "leave it out"),
        ("agents/x", {"tools": ["a b"]}, 400, "invalid_value", "tools.0", "match pattern"),
        ("agents/x", {"route": "direct"}, 400, "invalid_value", None, "needs a model somewhere else"),
        ("agents/x", [], 400, "invalid_value", None, "object"),
        ("agents/x", {"session": {"a": "\ud800"}}, 400, "invalid_value", None, "JSON"),
        ("agents/x", {"tools": ["os:system"]}, 403, "defined_in_files_only", None, "Python function"),
        ("agents/a%20b", {}, 400, "invalid_value", "name", "pattern"),
        ("tools/x", {}, 400, "invalid_value", "kind", "must be one of builtin, bus, http, mcp"),
        ("tools/x", {"kind": "python"}, 400, "invalid_value", "kind", "must be one of"),
        ("tools/x", {"kind": "bus"}, 400, "invalid_value", None, "needs a description"),
        ("tools/x", {**TOOL, "timeout_s": 0}, 400, "invalid_value", "timeout_s", "greater than 0"),
        ("tools/x", {"kind": "mcp", "command": ["sh"]}, 403, "defined_in_files_only", None, "program"),
        ("tools/x", {**TOOL, "parameters": {"type": "array"}}, 400, "invalid_value", None, "object"),
        ("tools/in_file", TOOL, 403, "defined_in_files_only", None, "settings file"),
    ],
)
async def test_what_is_wrong_is_said(
    api: httpx.AsyncClient, path: str, body: Any, status: int, code: str, param: str | None, words: str
) -> None:
    import json

    answer = await api.put(f"/api/{path}", content=json.dumps(body), headers={"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert words in error["message"]


async def test_a_tool_in_use_cannot_be_deleted(api: httpx.AsyncClient) -> None:
    await api.put("/api/tools/find", json=TOOL)
    await api.put("/api/agents/new", json={"tools": ["find"]})
    refused = await api.delete("/api/tools/find", headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "in_use")


async def test_credentials_in_files_are_not_shown(api: httpx.AsyncClient) -> None:
    texts = [(await api.get(path)).text for path in ("/api/tools", "/api/tools/in_file")]
    assert all("s3cret" not in text and "in_file" in text for text in texts)


async def test_a_key_changes_its_own_tenant_only(api: httpx.AsyncClient) -> None:
    acme = bearer("sk-acme")
    await api.put("/api/agents/theirs", json={"model": "echo", "title": "Theirs"}, headers=acme)
    assert (await api.get("/api/agents/theirs")).status_code == 404
    assert (await api.get("/api/agents/theirs", headers=acme)).status_code == 200
    assert [agent["name"] for agent in (await api.get("/api/agents")).json()] == ["desk"]
    assert [agent["title"] for agent in (await api.get("/api/agents", headers=acme)).json()] == ["Theirs"]


@pytest.mark.parametrize(("headers", "status"), [(bearer("sk-calls"), 403), ({"Authorization": ""}, 401)])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/agents/desk"),
        ("GET", "/api/agents?definitions=true"),
        ("PUT", "/api/agents/desk"),
        ("DELETE", "/api/agents/desk"),
        ("GET", "/api/agents/desk/versions"),
        ("GET", "/api/agents/desk/versions/1"),
        ("GET", "/api/tools"),
        ("PUT", "/api/tools/x"),
        ("DELETE", "/api/tools/x"),
    ],
)
async def test_it_takes_a_key_with_the_scope_admin(
    api: httpx.AsyncClient, registry: Registry, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await api.request(method, path, headers=headers, json={} if method == "PUT" else None)
    assert answer.status_code == status
    assert registry.version("agent", "desk") == 1


async def test_a_process_without_a_database_says_so() -> None:
    async with build_world(Settings(keys=KEYS)).client(headers=ADMIN) as client:
        assert (await client.get("/api/tools")).json()["error"]["code"] == "no_registry"


@pytest.mark.parametrize(("path", "word"), [("/api/agents/{name}", "instructions"), ("/api/tools/{name}", "HttpTool")])
def test_the_published_schema_describes_definitions(path: str, word: str) -> None:
    put = build_world().app.openapi()["paths"][path]["put"]
    assert word in str(put["requestBody"]["content"]["application/json"]["schema"])
    assert {"If-Match", "If-None-Match"} <= {parameter["name"].title() for parameter in put["parameters"]}
