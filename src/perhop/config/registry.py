"""``[registry]`` and ``[secrets]``: agents and tools in the database, and the credentials that those tools name."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator

from perhop.config.table import Name, Table

__all__ = ["FunctionPattern", "RegistrySettings", "SecretSettings"]

FunctionPattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:([A-Za-z_]\w*|\*)$")]

_PORTS = {"https": 443, "http": 80}

_ORIGIN = re.compile(r"(https?://)?([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


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
        hosts: it is sent nowhere else: ``crm.example`` (https on port 443), ``crm.example:8443`` (https there), or with
            another scheme ``http://crm.internal:8080``.
        tenants: whose tools may name it.
    """

    value: SecretStr
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    tenants: Annotated[tuple[Name, ...], Field(min_length=1)] = ("default",)

    @field_validator("hosts")
    @classmethod
    def _are_origins(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for one in hosts:
            if _origin(_with_scheme(one)) is None or not _ORIGIN.fullmatch(one):
                raise ValueError("must be like crm.example, crm.example:8443 or http://crm.internal:8080")
        return hosts

    def goes_to(self, url: str) -> bool:
        """Whether it may be sent there: scheme, host and port have to be those of one of its hosts."""
        there = _origin(url)
        return there is not None and there in {_origin(_with_scheme(one)) for one in self.hosts}


def _origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an address; None for one that is not of HTTP."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port


def _with_scheme(host: str) -> str:
    return host if "://" in host else f"https://{host}"
