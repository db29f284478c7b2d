"""Whatever the published schema allows, and what it does not: the server never fails on it."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from tests.api.helpers import build_world

from perhop.config import LimitSettings, Settings

_WORLD = build_world(Settings(limits=LimitSettings(max_calls=1_000_000, calls_per_minute=1_000_000)))


@schemathesis.serializer("application/sdp")
def _as_text(_context: object, value: Any) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


schema = schemathesis.openapi.from_dict(_WORLD.app.openapi())
schema.app = _WORLD.app


@schema.parametrize()
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_makes_the_server_fail(case: schemathesis.Case) -> None:
    case.call_and_validate(
        headers={"Host": "127.0.0.1:8080"},
        checks=[not_a_server_error, response_schema_conformance, status_code_conformance],
    )


def test_the_schema_knows_only_the_one_error_shape() -> None:
    document = _WORLD.app.openapi()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], f"{method} {path}"
