"""What goes wrong, with the text of the command's message. Each class is also the built-in error it resembles."""

from __future__ import annotations

from typing import Any, NamedTuple


class TesseraError(Exception):
    """Base of all errors of this package."""


class Problem(NamedTuple):
    """One problem of a configuration. ``line`` and ``column`` count from 1; 0: no position."""

    file: str
    line: int
    column: int
    key: str
    message: str


class ConfigError(TesseraError, ValueError):
    """A configuration with all its problems; ``str()`` has one line for each, with file:line:column."""

    def __init__(self, text: str, problems: list[tuple[str, int, int, str, str]] | None = None) -> None:
        super().__init__(text)
        self.problems: list[Problem] = [Problem(*problem) for problem in problems or []]


class UsageError(TesseraError, ValueError):
    """An argument that makes no sense."""


class InputError(TesseraError, ValueError):
    """A model, data or result file, or an array, that is missing, broken or does not fit."""


class RunError(TesseraError, RuntimeError):
    """What fails while a simulation runs: a value that is not finite, a full disk."""


class QuantizerNotInitializedError(TesseraError, RuntimeError):
    """A quantizer that is used before it has a range."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. ``result`` holds what was finished, as the function would have returned it."""

    def __init__(self, result: Any) -> None:
        super().__init__("interrupted; what was finished is in the attribute `result`")
        self.result = result


class TesseraWarning(UserWarning):
    """What a user should know of a result: a fallback, a range that clips, ..."""
