"""Where the view appears: drawn in place on a terminal, as a line every few seconds anywhere else."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live

from app.demo.view import WIDTH, View, clock, plain, render

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_LINE_EVERY_S = 2.0


class Screen:
    """Shows views on *console*; a context manager, after which the last view stays on the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._told_s = -math.inf
        self._told_happenings = 0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def show(self, view: View) -> None:
        """Draw *view*; or tell what is new in it, and how the run stands if the last line about that is old enough."""
        if self._live is not None:
            self._live.update(render(view), refresh=True)
            return
        for at_s, sentence in view.happenings[self._told_happenings :]:
            self._tell(f"{clock(at_s)} {sentence}")
        self._told_happenings = len(view.happenings)
        if view.elapsed_s - self._told_s >= _LINE_EVERY_S:
            self._told_s = view.elapsed_s
            self._tell(plain(view))

    def _tell(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def save_picture(view: View, path: Path) -> None:
    """Write *view* as it looks on a terminal to the SVG file *path*."""
    console = Console(width=WIDTH, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(render(view))
    # Without the web fonts that rich names: a picture asks nobody for anything, and any monospaced font will do.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="faust-onnx demo"), flags=re.DOTALL)
    path.write_text(picture, encoding="utf-8")
