"""A lease passes on when it is not renewed, when it is let go, or when all work passes on."""

from __future__ import annotations

from typing import Any

from pileus.hub.lease import TERM_S, Lease, freed
from tests.beds import TurnedClock


class AheadClock:
    """The same machine's time, read five minutes ahead."""

    def __init__(self, clock: TurnedClock) -> None:
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms() + 300_000

    def monotonic(self) -> float:
        return self._clock.monotonic()


def lease(world: Any, owner: str, clock: Any = None) -> Lease:
    return Lease(world.store, clock or world.clock, "work", owner)


def test_a_clock_that_is_ahead_steals_nothing(run: Any) -> None:
    async def body(world: Any) -> None:
        here, ahead = lease(world, "n1"), lease(world, "n2", AheadClock(world.clock))
        assert await here.hold()
        for _ in range(10):
            world.clock.ms += 4000
            assert await here.hold()  # renews
            assert not await ahead.hold()

    run(body)


def test_it_passes_on_after_a_term_without_renewal(run: Any) -> None:
    async def body(world: Any) -> None:
        first, second = lease(world, "n1"), lease(world, "n2")
        assert await first.hold()
        assert not await second.hold()
        world.clock.ms += int(TERM_S * 1000) - 10
        assert not await second.hold()
        world.clock.ms += 20
        assert await second.hold() and not await first.hold()

    run(body)


def test_all_leases_pass_on_at_once_when_the_work_does(run: Any) -> None:
    async def body(world: Any) -> None:
        first, second = lease(world, "n1"), lease(world, "n2")
        assert await first.hold() and not await second.hold()
        await world.store.transact(lambda draft: freed(draft, "n2"))
        assert await second.hold()
        await world.store.transact(lambda draft: freed(draft, "n2"))
        assert not await lease(world, "n1").hold()

    run(body)
