"""Table recovery in batches: Faust's own makes four tasks and several queue hops per row."""

from __future__ import annotations

import asyncio
from typing import Any

from faust.tables.manager import TableManager as _TableManager
from faust.tables.recovery import Recovery as _Recovery
from mode import Service

from app.transport.table import BatchTable, restored_events
from app.transport.topic import deliver_undecoded

_IDLE_S = 0.25


class Recovery(_Recovery):  # type: ignore[misc]
    """Faust's recovery, fed with whole batches of changelog records."""

    @Service.task
    async def _slurp_changelogs(self) -> None:
        queue = self.tables.changelog_queue
        while not self.should_stop:
            try:
                event = await asyncio.wait_for(queue.get(), timeout=_IDLE_S)
            except TimeoutError:
                if self.in_recovery:
                    await self._skip_what_is_gone()
                    self._end_if_recovered()
                continue
            tp = event.message.tp
            if tp in self.active_tps:
                self._restore(tp, event.message.value, self.active_offsets)
                for record in event.message.value if self.tp_to_table[tp]._on_changelog_event else ():  # noqa: SLF001
                    await self.tp_to_table[tp].on_changelog_event(record)
                self._end_if_recovered()
            elif tp in self.standby_tps:
                self._restore(tp, event.message.value, self.standby_offsets)
            # Rows of any other partition were fetched before it was lost: they are not ours any more.

    async def _build_highwaters(self, consumer: Any, tps: set[Any], destination: Any, title: str) -> None:
        if title == "active":
            await self.app.fence(self.app.consumer.assignment())
        await super()._build_highwaters(consumer, tps, destination, title)

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        """Wait for *coro* for however long it takes, unless there is another rebalance or the app stops.

        Faust takes running out of *timeout* for being stopped: it would recover nothing any more, also after the next
        rebalance. What takes too long is seen by what watches commits.
        """
        del timeout
        await super()._wait(coro)

    def forget(self, tp: Any) -> None:
        """Read the changelog partition *tp* from its start the next time, whatever was read of it before."""
        self.active_offsets.pop(tp, None)

    def _set_recovery_started(self) -> None:
        super()._set_recovery_started()
        self.signal_recovery_end.clear()

    def _restore(self, tp: Any, records: list[Any], offsets: Any) -> None:
        table, seen = self.tp_to_table[tp], offsets.get(tp)
        if seen is not None and records[0].offset <= seen:
            records = [record for record in records if record.offset > seen]
        if not records:
            return
        if isinstance(table, BatchTable):
            table.restore(records)
        else:
            table.apply_changelog_batch(restored_events(table, records))
        offsets[tp] = records[-1].offset

    async def _skip_what_is_gone(self) -> None:
        """Move over rows that compaction or an aborted transaction took from the end; nobody will deliver them."""
        for tp, highwater in self.active_highwaters.items():
            offset = self.active_offsets[tp]
            if highwater is None or offset is None or offset >= highwater:
                continue
            position = await self.app.consumer.position(tp)
            if position is not None and position > highwater and self.tables.changelog_queue.empty():
                self.active_offsets[tp] = highwater

    def _end_if_recovered(self) -> None:
        if self.in_recovery and not self.need_recovery():
            self._set_recovery_ended()
            self.signal_recovery_end.set()


class TableManager(_TableManager):  # type: ignore[misc]
    """Faust's table manager with the batched recovery."""

    _recovery: Recovery | None

    @property
    def recovery(self) -> Recovery:
        """Recovery service used by this table manager."""
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def _update_channels(self) -> None:
        await super()._update_channels()
        for channel in self._channels.values():
            deliver_undecoded(channel)

    async def on_start(self) -> None:
        """Register the changelogs and start recovery, without the second's sleep that Faust puts before it."""
        await self._update_channels()
        await self.recovery.start()
