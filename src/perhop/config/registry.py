"""``[registry]`` and ``[secrets]``: agents and tools in the database, and the credentials that those tools name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from perhop.config.table import Name, Table

__all__ = ["FunctionPattern", "RegistrySettings", "SecretSettings"]

FunctionPattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:([A-Za-z_]\w*|\*)$")]


class RegistrySettings(Table):
    """``[registry]``: agents and tools in the database, where REST and ``perhop agents import`` change them.

    Attributes:
        seed: what is written to the database at start: ``absent``, only what it has never had; ``replace``, everything,
            so that the file wins.
        tenants: who is given the agents and tools of the file; unset: ``default`` and those that keys name.
        functions: Python functions that agents in the database may name besides those the file's agents do:
            ``"module:function"``, or ``"module:*"``.
        poll_s: how often changes made by other processes are looked for.
        max_entries: agents, and as many tools, of one tenant.
        keep_versions: of one agent or tool; older ones are deleted.
    """

    seed: Literal["absent", "replace"] = "absent"
    tenants: tuple[Name, ...] | None = None
    functions: tuple[FunctionPattern, ...] = ()
    poll_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    max_entries: Annotated[int, Field(ge=1, le=10_000)] = 1000
    keep_versions: Annotated[int, Field(ge=1, le=100_000)] = 200


class SecretSettings(Table):
    """``[secrets.<name>]``: a credential that HTTP and MCP tools send as ``{secret:<name>}`` in their ``headers``.

    Attributes:
        hosts: it is sent nowhere else.
        tenants: whose tools may name it.
    """

    value: SecretStr
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    tenants: Annotated[tuple[Name, ...], Field(min_length=1)] = ("default",)
