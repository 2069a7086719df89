"""Names that strangers gave, as cards and plots may show them."""

from __future__ import annotations


def visible(text: str) -> str:
    r"""*text* with what is not printable written out; blanks of all kinds stay what they are.

    >>> visible("a\x1b[2J b")
    'a\\x1b[2J b'
    """
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode() for each in text
    )
