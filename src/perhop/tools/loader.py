"""From a ``"module:function"`` reference to a tool."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from perhop.tools.base import Tool
from perhop.tools.errors import ToolDefinitionError, ToolLoadError
from perhop.tools.function import FunctionTool

__all__ = ["ToolLoader"]


class ToolLoader:
    """Finds tools first among the files beside the configuration, then among installed modules.

    ``"examples.oneroof.tools:book_viewing"`` is ``book_viewing`` in ``examples/oneroof/tools.py`` below ``folder`` if
    that file exists. Such modules live under a package name of the folder's own: nothing is added to ``sys.path``, two
    configurations with a ``tools.py`` each stay apart, and files of one folder reach each other by relative imports.

    Args:
        folder: where the configuration stands; None looks among installed modules only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder.resolve() if folder is not None else None

    def load(self, reference: str) -> Tool:
        """The tool that ``reference`` names; a plain function becomes one with the decorator's defaults.

        Raises:
            ToolLoadError: the reference is malformed, or module or function are not there, or importing failed.
            ToolDefinitionError: it is a function that cannot be a tool.
        """
        module_name, colon, name = reference.partition(":")
        parts = module_name.split(".")
        if not (colon and name.isidentifier() and all(part.isidentifier() for part in parts)) or parts[-1] == "py":
            raise ToolLoadError(f'tool reference {reference!r}: write it as "module:function", with dots for folders')
        module = self._module(reference, module_name)
        found = getattr(module, name, None)
        if isinstance(found, Tool):
            return found
        if inspect.isfunction(found):
            return FunctionTool.of(found)
        where = f"{module_name} ({module.__file__})"
        if found is not None:
            raise ToolLoadError(f"tool reference {reference!r}: {name} in {where} is a {type(found).__name__}, no tool")
        tools = ", ".join(key for key, value in vars(module).items() if isinstance(value, Tool)) or "none"
        raise ToolLoadError(f"tool reference {reference!r}: no {name} in {where}; tools there: {tools}")

    def _module(self, reference: str, name: str) -> ModuleType:
        path = self._file(name)
        place = str(path) if path is not None else name
        prefix = f"{self._package()}." if path is not None else ""
        try:
            return importlib.import_module(prefix + name)
        except ModuleNotFoundError as error:
            missing = (error.name or "").removeprefix(prefix)
            if path is None and f"{name}.".startswith(f"{missing}."):
                beside = f"not in {self._folder} and " if self._folder is not None else ""
                raise ToolLoadError(f"tool reference {reference!r}: module {name} is {beside}not installed") from None
            hint = "; reach files of the same folder by a relative import" if path is not None else ""
            message = f"tool reference {reference!r}: {place} imports {missing}, which is not there{hint}"
            raise ToolLoadError(message) from error
        except ToolDefinitionError as error:
            raise ToolDefinitionError(f"{place}: {error}") from error
        except Exception as error:
            message = f"tool reference {reference!r}: importing {place} failed: {type(error).__name__}: {error}"
            raise ToolLoadError(message) from error

    def _file(self, module: str) -> Path | None:
        """The file of this module beside the configuration, if there is one."""
        if self._folder is None:
            return None
        base = self._folder.joinpath(*module.split("."))
        return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)

    def _package(self) -> str:
        """The package whose modules are the files of the folder; made when it is first needed."""
        name = f"_perhop_{hashlib.sha256(str(self._folder).encode()).hexdigest()[:12]}"
        if name not in sys.modules:
            package = ModuleType(name, f"Files of {self._folder}")
            package.__path__ = [str(self._folder)]
            sys.modules[name] = package
            importlib.invalidate_caches()
        return name
