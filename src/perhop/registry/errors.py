"""What can be wrong with a change of the registry."""

from __future__ import annotations

from perhop.errors import PerhopError

__all__ = [
    "DefinitionError",
    "EntryConflictError",
    "EntryInUseError",
    "FileOnlyError",
    "RegistryError",
    "UnknownEntryError",
]


class RegistryError(PerhopError):
    """A change that was not made."""


class DefinitionError(RegistryError):
    """A definition that cannot be used.

    Args:
        message: what is wrong, without repeating a value.
        field: the path of the wrong field, if it is about one.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class FileOnlyError(RegistryError):
    """Something that is defined in files only; the message says why and what to do."""


class UnknownEntryError(RegistryError):
    """The tenant has no such agent, tool or version."""


class EntryInUseError(RegistryError):
    """A tool that agents use cannot go, nor become one that they cannot use."""


class EntryConflictError(RegistryError):
    """Somebody else was first.

    Args:
        current: the version there is; None for none.
    """

    def __init__(self, message: str, *, current: int | None) -> None:
        super().__init__(message)
        self.current = current
