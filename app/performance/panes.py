"""Panes of event time: aligned to the epoch, kept for a time that grows with their width."""

from __future__ import annotations

from typing import NamedTuple

HOUR_S, DAY_S = 3600, 86400


def pane_start(event_at: float, width_s: int) -> int:
    """Where the pane of *width_s* seconds begins that holds *event_at*.

    >>> pane_start(119.9, 60), pane_start(120.0, 60)
    (60, 120)
    """
    return int(event_at // width_s) * width_s


class Retention(NamedTuple):
    """For how many seconds of event time panes are kept, by their width."""

    under_an_hour_s: float = 2 * DAY_S
    under_a_day_s: float = 60 * DAY_S
    others_s: float = 400 * DAY_S

    def keep_s(self, width_s: int) -> float:
        """For how long panes of *width_s* seconds are kept after their end.

        >>> Retention().keep_s(60) / DAY_S, Retention().keep_s(3600) / DAY_S
        (2.0, 60.0)
        """
        if width_s < HOUR_S:
            return self.under_an_hour_s
        return self.under_a_day_s if width_s < DAY_S else self.others_s
