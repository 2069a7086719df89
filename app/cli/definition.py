"""A pipeline's own `definition.py`: the candidates that it names in place of the built-in ones."""

from __future__ import annotations

import sys
import traceback
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FUNCTION = "candidates"


def own_candidates(path: Path) -> Callable[[Any], Any] | None:
    """The function `candidates` of the file *path*; None if there is no such file, or no such function in it.

    What goes wrong in it is told with its line, as a ConfigurationError.
    """
    if not path.is_file():
        return None
    module = ModuleType(f"faust_onnx_definition_{path.parent.name}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # pickling and dataclasses look a class up by its module
    with _explained(path):
        # Not by an import: that would leave compiled files beside it, and take an old one after a quick change.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # noqa: S102  # it is the user's own
    function = getattr(module, FUNCTION, None)
    if function is None:
        return None

    def candidates(columns: Any) -> Any:
        with _explained(path):
            return function(columns)

    return candidates


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever somebody's own code raises
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = lines[-1] if lines else getattr(error, "lineno", None)
        where = f"{path}: line {line}" if line else str(path)
        raise ConfigurationError(f"{where}: {type(error).__name__}: {error}") from error
