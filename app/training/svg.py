"""A drawing in SVG: a few shapes on a canvas, as text that is the same each time.

Not matplotlib: it and what it needs are 100 MB for a handful of plots, and its bytes change with its version.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from app.training.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

ACCENT, REST, INK, GRID = "#0b6e4f", "#9aa5b1", "#1f2933", "#e4e7eb"


class Drawing:
    """Shapes on a white canvas of *width* by *height* pixels, the origin in its upper left corner."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height = width, height
        self._shapes = [f'<rect width="{_n(width)}" height="{_n(height)}" fill="white"/>']
        self._title = title
        self.text(12, 20, title, size=13, weight="bold")

    def line(
        self, points: Iterable[tuple[float, float]], *, colour: str = INK, width: float = 1, dash: str = ""
    ) -> None:
        """A line through *points*."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        through = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._shapes.append(
            f'<polyline points="{through}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
        )

    def box(  # noqa: PLR0913  # a place, a size, a look
        self, x: float, y: float, width: float, height: float, *, colour: str = ACCENT, opacity: float = 1
    ) -> None:
        """A filled rectangle."""
        self._shapes.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" fill="{colour}" '
            f'fill-opacity="{opacity:.3g}"/>'
        )

    def dot(self, x: float, y: float, *, radius: float = 3, colour: str = ACCENT, opacity: float = 1) -> None:
        """A filled circle."""
        self._shapes.append(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{radius:g}" fill="{colour}" fill-opacity="{opacity:.3g}"/>'
        )

    def text(  # noqa: PLR0913  # the ways in which a text may stand
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 11,
        anchor: str = "start",
        weight: str = "normal",
        colour: str = INK,
        turned: bool = False,
    ) -> None:
        """*text* with its baseline at *y*; *turned* a quarter to the left, about (x, y)."""
        turn = f' transform="rotate(-90 {_n(x)} {_n(y)})"' if turned else ""
        self._shapes.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size:g}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{colour}"{turn}>{clean(text)}</text>'
        )

    def svg(self) -> str:
        """The file's text."""
        width, height = _n(self.width), _n(self.height)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="sans-serif" role="img">'
        )
        return "\n".join([head, f"<title>{clean(self._title)}</title>", *self._shapes, "</svg>\n"])


def clean(text: str) -> str:
    r"""*text* as XML may hold it.

    >>> clean("a<b\x00")
    'a&lt;b\\x00'
    """
    return escape(visible(text), quote=False)


def _n(number: float) -> str:
    """A coordinate to a tenth of a pixel.

    >>> _n(3.14159), _n(-0.01)
    ('3.1', '0')
    """
    return f"{round(number, 1) + 0.0:g}"
