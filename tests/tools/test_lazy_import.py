"""What importing the package costs a module of tools."""

from __future__ import annotations

import subprocess
import sys

import pytest

import perhop

HEAVY = (
    "av",
    "aiortc",
    "fastapi",
    "starlette",
    "uvicorn",
    "nats",
    "onnxruntime",
    "numpy",
    "httpx",
    "structlog",
    "asyncpg",
)
FOREIGN_PARTS = ("media", "realtime", "edges", "api", "brain", "call", "models", "telemetry", "config", "app")


def modules_after(code: str) -> set[str]:
    """Names in ``sys.modules`` of a fresh interpreter after it ran ``code``."""
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_a_module_of_tools_imports_no_media_no_bus_and_no_web_server() -> None:
    found = modules_after("from perhop import Slot, Tool, ToolContext, ToolError, tool")
    assert not found & set(HEAVY)
    assert not found & {f"perhop.{part}" for part in FOREIGN_PARTS}
    assert "perhop.tools.tool" in found, "the check would notice what is imported"


def test_importing_the_package_imports_nothing_of_it() -> None:
    assert {name for name in modules_after("import perhop") if name.startswith("perhop")} == {"perhop"}


def test_every_exported_name_is_there() -> None:
    for name in perhop.__all__:
        assert getattr(perhop, name)
    assert set(perhop.__all__) <= set(dir(perhop))
    assert perhop.__version__[0].isdigit()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = perhop.nonsense  # type: ignore[attr-defined]
