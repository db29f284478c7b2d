"""Python functions as tools."""

from __future__ import annotations

import asyncio
import functools
import inspect
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, ParamSpec, TypedDict, TypeVar

from perhop.tools.base import DEFAULT_TIMEOUT_S, Effect, JsonObject, Tool, ToolContext
from perhop.tools.docstring import parse_docstring
from perhop.tools.errors import ToolDefinitionError
from perhop.tools.schema import Parameters
from perhop.tools.services import ToolServices

__all__ = ["FunctionOptions", "FunctionTool", "ToolOptions"]

P = ParamSpec("P")
R = TypeVar("R")


class FunctionOptions(TypedDict, total=False):
    """What may be said of a function that is to be a tool, wherever it runs; see :func:`perhop.tool`."""

    name: str | None
    title: str | None
    description: str | None
    effect: Effect
    samples: Sequence[str]
    say: str | None
    timeout_s: float
    max_concurrent: int | None


class ToolOptions(FunctionOptions, total=False):
    """And what only the process of the call decides."""

    finish_on_hangup: bool
    idempotent: bool
    filler_after_s: float | None
    fillers: Sequence[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class FunctionTool(Tool, Generic[P, R]):
    """A typed Python function, sync or async; called like a function it is still the function.

    Attributes:
        function: what was decorated.
    """

    kind: ClassVar[str] = "function"

    function: Callable[P, R]
    signature: Parameters = field(repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        # Frozen against changes, not against looking like the function it stands for (help, doctest, signature).
        for attribute in ("__doc__", "__module__", "__name__", "__qualname__"):
            object.__setattr__(self, attribute, getattr(self.function, attribute, None))
        object.__setattr__(self, "__wrapped__", self.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @classmethod
    def of(
        cls,
        function: Callable[P, R],
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        effect: Effect = "once",
        samples: Sequence[str] = (),
        say: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        finish_on_hangup: bool = False,
        idempotent: bool = False,
        max_concurrent: int | None = None,
        filler_after_s: float | None = None,
        fillers: Sequence[str] = (),
    ) -> FunctionTool[P, R]:
        """Reads a function's signature and docstring; the arguments are those of :func:`perhop.tool`.

        Raises:
            ToolDefinitionError: the function cannot be a tool as it is written.
        """
        if not (inspect.isfunction(function) or inspect.ismethod(function)):
            raise ToolDefinitionError(f"{function!r} is not a function; only functions can be tools")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ToolDefinitionError(f"tool function {function.__qualname__}: a tool returns once, it cannot yield")
        docs = parse_docstring(function.__doc__)
        signature = Parameters(function, docs)
        name = name or function.__name__
        given, title = title, title or name.replace("_", " ").replace("-", " ").strip()
        _check_samples(function.__qualname__, samples, signature)
        extensions: JsonObject = {**({"x-title": given} if given else {}), "x-effect": effect}
        if samples:
            extensions["x-samples"] = list(samples)
        if say:
            extensions["x-say"] = say
        return cls(
            name=name,
            description=description or docs.description or f"{title[:1].upper()}{title[1:]}.",
            parameters={**signature.schema, **extensions},
            effect=effect,
            title=title,
            timeout_s=timeout_s,
            finish_on_hangup=finish_on_hangup,
            idempotent=idempotent,
            max_concurrent=max_concurrent,
            filler_after_s=filler_after_s,
            fillers=tuple(fillers),
            function=function,
            signature=signature,
        )

    def validate(self, arguments: JsonObject) -> JsonObject:
        return self.signature.validate(arguments)

    async def execute(self, values: JsonObject, context: ToolContext, *, services: ToolServices) -> object:
        given = {**values, self.signature.context: context} if self.signature.context else values
        function: Callable[..., Any] = functools.partial(self.function, **given)
        if inspect.iscoroutinefunction(self.function):
            return await function()
        if services.threads is not None:
            return await services.threads.run(function)
        return await asyncio.to_thread(function)


def _check_samples(function: str, samples: Sequence[str], signature: Parameters) -> None:
    """A misspelt slot would silently make a phrase useless."""
    if isinstance(samples, str):
        raise ToolDefinitionError(f"tool function {function}: samples is a list of phrases, not one phrase")
    known = signature.schema["properties"]
    for sample in samples:
        try:
            slots = [slot for _, slot, _, _ in string.Formatter().parse(sample) if slot is not None]
        except ValueError as error:
            raise ToolDefinitionError(f"tool function {function}: sample {sample!r}: {error}") from None
        for slot in slots:
            if slot.strip() not in known:
                raise ToolDefinitionError(f"tool function {function}: sample {sample!r}: no parameter {slot!r}")
