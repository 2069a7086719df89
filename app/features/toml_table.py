"""A table of a TOML file that answers for its keys: what is wrong is named with file, field and a valid example."""

from __future__ import annotations

import difflib
import math
from typing import Any

from app.errors import ConfigurationError

REQUIRED: Any = object()


class TomlTable:
    """The table *content* at *where* (as "topics.") in *file*; *examples* has a valid line for each key it may have."""

    def __init__(self, file: str, where: str, content: dict[str, Any], examples: dict[str, str]) -> None:
        self.file = file
        self.content = content
        self._where = where
        self._examples = examples
        for key in content:
            if key not in examples:
                close = difflib.get_close_matches(key, examples, n=1)
                hint = f'did you mean "{close[0]}"?' if close else f"known keys: {', '.join(examples)}"
                example = examples[close[0]] if close else next(iter(examples.values()))
                raise ConfigurationError(f"{file}: {where}{key}: unknown key; {hint}; for example: {example}")

    def error(self, key: str, problem: str) -> ConfigurationError:
        """The error that *key* has this *problem*."""
        return ConfigurationError(f"{self.file}: {self._where}{key}: {problem}; for example: {self._examples[key]}")

    def absent(self, key: str, reason: str) -> None:
        """Raise ConfigurationError if *key* is there, since *reason*."""
        if key in self.content:
            raise self.error(key, reason)

    def text(self, key: str, *, default: str = REQUIRED) -> str:
        """The non-empty string under *key*, or *default*."""
        value = self._value(key, default)
        if key in self.content and (not isinstance(value, str) or not value):
            raise self.error(key, f"expected a non-empty string, got {value!r}")
        return str(value)

    def choice(self, key: str, options: tuple[str, ...], *, default: str = REQUIRED) -> str:
        """The one of *options* under *key*, or *default*."""
        value = self._value(key, default)
        if value not in options:
            raise self.error(key, f"expected one of {', '.join(options)}, got {value!r}")
        return str(value)

    def number(self, key: str, *, default: float = REQUIRED) -> float:
        """The finite number under *key*, or *default*."""
        value = self._value(key, default)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self.error(key, f"expected a finite number, got {value!r}")
        return float(value)

    def items(self, key: str, *, default: list[Any] = REQUIRED) -> list[Any]:
        """The non-empty list under *key*, or *default*."""
        value = self._value(key, default)
        if not isinstance(value, list) or not value:
            raise self.error(key, f"expected a list with at least one item, got {value!r}")
        return value

    def path(self, key: str) -> tuple[str, ...] | None:
        """The field path under *key*: a dotted string, or a list of keys where a key has a dot; None if absent."""
        value = self.content.get(key)
        if value is None:
            return None
        steps = value.split(".") if isinstance(value, str) else value
        if not isinstance(steps, list) or not steps or not all(isinstance(step, str) and step for step in steps):
            raise self.error(key, f'expected a dotted path, or a list of keys such as ["a", "b"], got {value!r}')
        return tuple(steps)

    def table(self, key: str, examples: dict[str, str]) -> TomlTable:
        """The table under *key*; empty if absent."""
        value = self.content.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"expected a table, got {value!r}")
        return TomlTable(self.file, f"{self._where}{key}.", value, examples)

    def _value(self, key: str, default: Any) -> Any:
        if key in self.content:
            return self.content[key]
        if default is REQUIRED:
            raise self.error(key, "is required")
        return default
