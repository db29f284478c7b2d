"""Reads settings from file, environment and command line, and says exactly where a wrong one stands."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from perhop.config.settings import Settings
from perhop.errors import PerhopError

__all__ = ["ConfigError", "load_settings"]

DEFAULT_FILE = Path("perhop.toml")

_PREFIX = "PERHOP_"
_SHORT_NAMES: Mapping[str, tuple[str, ...]] = {
    "PERHOP_HOST": ("server", "host"),
    "PERHOP_PORT": ("server", "port"),
    "PERHOP_DATA": ("server", "data"),
    "PERHOP_TLS_CERT": ("server", "tls_cert"),
    "PERHOP_TLS_KEY": ("server", "tls_key"),
}
_FILE_VARIABLE = "PERHOP_CONFIG"
_SERVICE_LINKS = ("PERHOP_SERVICE_", "PERHOP_PORT_")


class ConfigError(PerhopError):
    """Settings that cannot be used; the message names source, key and remedy, never a value."""


def load_settings(
    path: Path | None = None, *, overrides: Mapping[str, Any] | None = None, fallback: Path | None = None
) -> Settings:
    """Settings of this process: defaults, then the TOML file, then ``PERHOP_*``, then ``overrides``.

    Args:
        path: the TOML file; None takes ``PERHOP_CONFIG``, else ``./perhop.toml`` when there is one.
        overrides: nested like the file (``{"server": {"port": 9000}}``); None values count as absent.
        fallback: the TOML file when none is named and none is there.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown, or a value is not allowed.
    """
    file = _find_file(path, fallback)
    from_file = _read_toml(file) if file is not None else {}
    from_env = _read_environment()
    from_command_line = _without_none(overrides or {})
    merged = _merge(_merge(from_file, from_env), from_command_line)
    merged["file"] = file
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, file=file, env=from_env, command_line=from_command_line)) from None


def _find_file(path: Path | None, fallback: Path | None) -> Path | None:
    if path is not None:
        return path
    named = os.environ.get(_FILE_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else fallback


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or type(error).__name__})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


def _read_environment() -> dict[str, Any]:
    """``PERHOP_SERVER__PORT=9000`` is ``server.port``; lists and tables are written as JSON."""
    values: dict[str, Any] = {}
    for variable, text in os.environ.items():
        loc = _SHORT_NAMES.get(variable) or _location(variable)
        if loc is None or not text or text.startswith("tcp://"):
            # Kubernetes injects PERHOP_PORT=tcp://… for a Service called "perhop"; that one is not meant for us.
            continue
        values = _merge(values, _nest(loc, _decoded(text)))
    return values


def _location(variable: str) -> tuple[str, ...] | None:
    """The place in the settings that a variable means, or None for one that is not ours.

    Foreign ``PERHOP_*`` names (Kubernetes service links such as ``PERHOP_SERVICE_HOST``) are left alone, but a
    misspelt one would silently do nothing, so what looks like one of ours is refused.
    """
    if not variable.startswith(_PREFIX) or variable == _FILE_VARIABLE:
        return None
    loc = tuple(variable.removeprefix(_PREFIX).lower().split("__"))
    if loc[0] in _keys_at(()):
        return loc
    tables = [_PREFIX + key.upper() for key in _keys_at(())]
    near = difflib.get_close_matches(variable, [*_SHORT_NAMES, _FILE_VARIABLE, *tables], n=1, cutoff=0.85)
    if len(loc) == 1 and (not near or variable.startswith(_SERVICE_LINKS)):
        return None
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"environment: unknown variable {variable}{hint}")


def _decoded(text: str) -> Any:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _explain(
    error: ValidationError, *, file: Path | None, env: Mapping[str, Any], command_line: Mapping[str, Any]
) -> str:
    lines = []
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        loc = tuple(part for part in detail["loc"] if part != "__root__")
        if _has(command_line, loc):
            source = "command line"
        elif _has(env, loc):
            source = "environment"
        else:
            source = str(file) if file is not None else "settings"
        if detail["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(loc[-1]), _keys_at(loc[:-1]), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(_keys_at(loc[:-1]))})"
            lines.append(f"{source}: unknown key {_dotted(loc)!r}{hint}")
        else:
            message = detail["msg"].removeprefix("Value error, ")
            lines.append(f"{source}: {_dotted(loc)}: {message}" if loc else f"{source}: {message}")
    return "\n".join(dict.fromkeys(lines))


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """The known keys of the table that ``loc`` points to."""
    model: type[BaseModel] = Settings
    for part in loc:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        found = _table_in(field.annotation) if field is not None else None
        if found is None:
            return []
        model = found
    return [name for name in model.model_fields if not (model is Settings and name == "file")]


def _table_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table_in(part)) is not None), None)


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _has(values: Any, loc: tuple[int | str, ...]) -> bool:
    for part in loc:
        try:
            values = values[part]
        except (LookupError, TypeError):
            return False
    return bool(loc)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _nest(loc: tuple[str, ...], value: object) -> dict[str, Any]:
    head, *rest = loc
    return {head: _nest(tuple(rest), value) if rest else value}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            kept[key] = _without_none(value)
        elif value is not None:
            kept[key] = value
    return kept
