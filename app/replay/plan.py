"""What was asked of a replay, and what of it does not go together with the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from app.features import Contract


class Plan(NamedTuple):
    """How rows are sent, and which times they get."""

    rate: float | None = None
    """Rows a second; None if not asked for."""
    speed: float | None = None
    """How many times as fast as the file's own times; None: not asked for; with neither as fast as can be."""
    keep_times: bool = False
    """Whether events keep the times of the file; else they happen when they are sent."""
    label_delay_s: float = 0.0
    """From an event's time to its label's."""
    limit: int | None = None
    """Rows at most."""
    id_suffix: str = ""
    """Appended to each id, so that a file can be replayed again although its ids are known."""

    def check(self, contract: Contract) -> None:
        """ConfigurationError if *contract* makes it impossible."""
        where = f"the contract of {contract.name}"
        if contract.encoding != "json":
            raise ConfigurationError(
                f'{where} says encoding = "{contract.encoding}"; replay sends JSON: for example, encoding = "json"'
            )
        if self.rate is not None and self.speed is not None:
            raise ConfigurationError("--rate and --speed: say one of them, rows a second or times as fast as the file")
        asked = "--speed" if self.speed is not None else "--keep-times" if self.keep_times else None
        if asked is not None and contract.event_time_path is None:
            raise ConfigurationError(
                f"{asked}: {where} names no event_time_field, so rows have no times; use --rate R, or add to it for "
                'example: event_time_field = "at" and event_time_format = "iso8601"'
            )
        if self.id_suffix and contract.id_path is None:
            raise ConfigurationError(f"--fresh-ids: {where} names no id_field; ids are always new then: leave it out")

    @property
    def on_event_clock(self) -> bool:
        """Whether labels wait for events of a later time rather than for the clock on the wall.

        Events that keep old times and are not paced by them pass in a moment what took days; so do their labels.
        """
        return self.keep_times and self.speed is None

    @property
    def wall_delay_s(self) -> float:
        """How long a label waits after its event was due, on the clock on the wall."""
        return self.label_delay_s / self.speed if self.keep_times and self.speed else self.label_delay_s
