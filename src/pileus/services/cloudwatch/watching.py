"""The work that one process of the cloud does: evaluate alarms, forget old history.

Every minute all alarms are evaluated, those of periods below a minute every ten seconds, and all of
them soon after one was changed. Only a change of state writes anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial

from pileus.errors import AwsError, Conflict, Unavailable
from pileus.services.cloudwatch import composite, evaluation, rows, states
from pileus.services.cloudwatch.across import Held, Wanted
from pileus.services.cloudwatch.room import Room
from pileus.services.cloudwatch.rows import Alarm
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.telemetry.others import DOWN

log = logging.getLogger(__name__)
OFTEN_S, MINUTE_S = 10, 60
LATE_S = 1.0  # points of a minute's end may come from other processes this much later
SWEEP_S = 3600.0
ASKED_AGAIN, ASKED_AGAIN_S = 3, 1.5
HISTORY_KEPT_S = 30 * 86_400


class Watching:
    """``begin`` and ``cease``; ``turn`` evaluates once."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._task: asyncio.Task[None] | None = None
        self._swept_s = 0.0

    async def begin(self) -> None:
        self._task = asyncio.create_task(self._run(), name="cloudwatch-alarms")

    async def cease(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        seen, due_s = -1, 0.0
        while True:
            generation = self._room.store.generation(rows.TABLE)
            now_s = self._room.now_s()
            if generation != seen or now_s >= due_s:
                whole = generation != seen or now_s % MINUTE_S < OFTEN_S
                seen = generation
                due_s = (now_s // OFTEN_S + 1) * OFTEN_S + LATE_S
                await self._guarded(whole)
            wait_s = max(0.05, due_s - self._room.now_s())
            await self._room.store.changed(rows.TABLE, seen, wait_s)
            await asyncio.sleep(0.2)  # several changes at once are one turn

    async def _guarded(self, whole: bool) -> None:
        try:
            await self.turn(whole)
            if self._room.now_s() - self._swept_s > SWEEP_S:
                self._swept_s = self._room.now_s()
                await self._sweep()
        except (Unavailable, Conflict) as error:
            log.warning("alarms are evaluated later: %s", error)
        except Exception:
            log.exception("evaluating alarms failed")

    async def turn(self, whole: bool = True) -> None:
        """Evaluate metric alarms (``whole``: those of a minute and more, too), then composite
        ones, until nothing changes any more."""
        room = self._room
        alarms = list(rows.all_alarms(room.store))
        if not alarms:
            return
        now_s = room.now_s() - LATE_S
        due = [
            alarm
            for alarm in alarms
            if alarm["kind"] == rows.METRIC and (whole or evaluation.period_of(alarm) < MINUTE_S)
        ]
        if due:
            held = await self._gathered(due, now_s)
            for alarm in due:
                verdict = await self._verdict(alarm, held, now_s)
                if verdict is not None and evaluation.changed(alarm, verdict):
                    await self._change(alarm, verdict)
        for _ in range(len(alarms)):
            if not await self._composites():
                return

    async def _gathered(self, due: Sequence[Alarm], now_s: float) -> Held:
        """The points of all nodes. One that does not answer is asked again for a few seconds: an
        alarm is not to change because a node was slow; one that is down is done without."""
        wanted = [one for alarm in due for one in _wanted(alarm, now_s)]
        for _ in range(ASKED_AGAIN):
            held = await self._room.across.gather(wanted)
            if all(why == DOWN for why in held.missing.values()):
                return held
            await self._room.clock.sleep(ASKED_AGAIN_S)
        return await self._room.across.gather(wanted)

    async def _verdict(self, alarm: Alarm, held: Held, now_s: float) -> evaluation.Verdict | None:
        try:
            verdict = await asyncio.to_thread(evaluation.evaluate, alarm, held, now_s)
            if verdict is None or not held.missing:
                return verdict
            nodes = ", ".join(sorted(held.missing))
            return verdict[0], f"{verdict[1]} Without the data points of {nodes}.", verdict[2]
        except AwsError as error:
            reason = f"The alarm cannot be evaluated: {error.message}"
            return rows.INSUFFICIENT, reason, None

    async def _composites(self) -> bool:
        """Whether one changed: others may follow from it."""
        alarms = list(rows.all_alarms(self._room.store))
        known = {(a["place"], a["AlarmName"]): a["StateValue"] for a in alarms}
        moved = False
        for alarm in alarms:
            if alarm["kind"] != rows.COMPOSITE:
                continue
            verdict = composite.evaluate(alarm, partial(_state, known, alarm["place"]))
            if evaluation.changed(alarm, verdict):
                await self._change(alarm, verdict)
                known[alarm["place"], alarm["AlarmName"]] = verdict[0]
                moved = True
        return moved

    async def _change(self, alarm: Alarm, verdict: evaluation.Verdict) -> None:
        """Unless the alarm was changed or deleted meanwhile."""
        now_ms = self._room.clock.now_ms()

        def change(draft: Draft) -> None:
            now: Alarm | None = draft.get_json(rows.alarm_key(alarm["place"], alarm["AlarmName"]))
            if now == alarm:
                states.change(draft, now, verdict[0], verdict[1], verdict[2], now_ms)

        await self._room.store.transact(change)

    async def _sweep(self) -> None:
        now_s = self._room.now_s()
        before = int((now_s - HISTORY_KEPT_S) * 1000).to_bytes(8, "big")
        prefix = keys.table_prefix(rows.HISTORY)
        found = self._room.store.range(prefix, keys.after_prefix(prefix), 100_000)
        old = [[r.key, None] for r in found if keys.split(r.key)[2][:8] < before]
        for at in range(0, len(old), 1000):
            await self._room.store.submit("write", old[at : at + 1000])


def _wanted(alarm: Alarm, now_s: float) -> list[Wanted]:
    try:
        return evaluation.wanted(alarm, now_s)
    except AwsError as error:
        log.debug("%s cannot be evaluated: %s", alarm["AlarmName"], error)  # told as its state
        return []


def _state(known: Mapping[tuple[str, str], str], place: str, name: str) -> str:
    return known.get((place, name), rows.INSUFFICIENT)
