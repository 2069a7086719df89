"""From looks at the run to pictures of it: rates over the last seconds, what happened, which version lives."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from app.demo.observe import RECENT_S, Facts
from app.demo.view import VersionView, View

if TYPE_CHECKING:
    from app.demo.intake import Sent


class Story:
    """Remembers what the pictures need of the past; time is an argument, in seconds since the first record."""

    def __init__(self, title: str, *, seconds: float | None, n_cases: int, window_s: int) -> None:
        self._title = title
        self._seconds = seconds
        self._n_cases = n_cases
        self._window_s = window_s
        self._recent: deque[tuple[float, int, int]] = deque()
        self._rates: deque[float] = deque(maxlen=40)
        self._second_begun = (0.0, 0)
        self._happenings: list[tuple[float, str]] = []
        self._sent_pass = 1
        self._live = 1
        self.facts = Facts()

    @property
    def live_version(self) -> int:
        """The newest version that a prediction was seen of."""
        return self._live

    def happened(self, elapsed_s: float, sentence: str) -> None:
        """Put *sentence* among what happened."""
        self._happenings.append((elapsed_s, sentence))

    def look(self, elapsed_s: float, facts: Facts, sent: Sent) -> None:
        """Take in what stands at *elapsed_s*."""
        self.facts = facts
        self._recent.append((elapsed_s, facts.events_in, facts.predictions))
        while self._recent[0][0] < elapsed_s - RECENT_S:
            self._recent.popleft()
        begun_s, begun_at = self._second_begun
        if elapsed_s - begun_s >= 1:
            self._rates.append((facts.predictions - begun_at) / (elapsed_s - begun_s))
            self._second_begun = (elapsed_s, facts.predictions)
        if sent.pass_number > self._sent_pass and self._sent_pass == 1:
            again = f"the data set starts over: pass {sent.pass_number}, ids end in ~{sent.pass_number}"
            self.happened(elapsed_s, f"all {self._n_cases} cases are sent; {again}")
        self._sent_pass = sent.pass_number
        newest = max(facts.versions_seen, default=1)
        if newest > self._live:
            self.happened(elapsed_s, f"version {newest} is live, and nothing stopped for it")
            self._live = newest

    def picture(self, elapsed_s: float, *, next_step: str, ctrl_c: str = "Ctrl-C ends it") -> View:
        """The view of the last look."""
        facts = self.facts
        events_per_s, predictions_per_s = self._per_second()
        return View(
            title=self._title,
            elapsed_s=elapsed_s,
            seconds=self._seconds,
            events_in=facts.events_in,
            events_per_s=events_per_s,
            predictions=facts.predictions,
            predictions_per_s=predictions_per_s,
            rate_history=tuple(self._rates),
            latency_p50_s=facts.latency_p50_s,
            latency_p99_s=facts.latency_p99_s,
            labels_sent=facts.labels,
            labels_joined=facts.labels_joined,
            dead_letters=facts.dead_letters,
            lag=facts.lag,
            window_s=self._window_s,
            versions=tuple(self._version(number) for number in sorted(facts.versions.keys() | {1})),
            pass_number=self._sent_pass,
            n_cases=self._n_cases,
            next_step=next_step,
            ctrl_c=ctrl_c,
            happenings=tuple(self._happenings),
        )

    def _per_second(self) -> tuple[float, float]:
        """Events in and predictions a second over the last ten seconds."""
        (first_s, *first), (last_s, *last) = self._recent[0], self._recent[-1]
        if last_s <= first_s:
            return 0.0, 0.0
        events, predictions = (after - before for before, after in zip(first, last, strict=True))
        return events / (last_s - first_s), predictions / (last_s - first_s)

    def _version(self, number: int) -> VersionView:
        state = "live" if number == self._live else "coming" if number > self._live else "retired"
        facts = self.facts.versions.get(number)
        if facts is None:
            return VersionView(number, state)
        return VersionView(number, state, facts.predicted, facts.joined, facts.accuracy_now, facts.accuracy_total)
