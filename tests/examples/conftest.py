from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from tests.bus.conftest import bus, open_bus, shared_nats
from tests.examples.helpers import Ask

from perhop.tools.base import Tool, ToolContext
from perhop.tools.runner import ToolRunner

__all__ = ["ask", "bus", "open_bus", "shared_nats"]


@pytest.fixture
def ask() -> Ask:
    """Calls a tool as a model would and returns its output; failures are ``{"error": …}``."""
    runner, numbers = ToolRunner(), count(1)

    async def call(
        tool: Tool, *, call_id: str = "rtc_1", function_call_id: str | None = None, **arguments: object
    ) -> Any:
        context = ToolContext(
            call_id=call_id,
            agent="example",
            tenant="default",
            function_call_id=function_call_id or f"call_{next(numbers)}",
        )
        result = await runner.run(tool, json.dumps(arguments), context)
        return json.loads(result.output)

    return call
