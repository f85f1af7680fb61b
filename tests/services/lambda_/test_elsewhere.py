"""Functions run where there is room: three machines in this process, with runtimes that say so."""

from __future__ import annotations

import asyncio
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import RESERVED_LIMIT, FunctionSpec, Kept
from tests.services.lambda_.three import Three, reserve


def test_a_node_runs_what_it_is_asked_for(three: Any) -> None:
    async def body(nodes: Three) -> None:
        assert await nodes.at_once(5) == [b"1"] * 5
        assert nodes.ran == [5, 0, 0]

    three(body)


def test_a_full_node_has_it_run_by_others_and_waits_when_all_are_full(three: Any) -> None:
    async def body(nodes: Three) -> None:
        for number in range(3):
            nodes.runtime(number).workers = 2
        nodes.shares |= {"n1": (0.2, 0.0), "n2": (0.3, 0.0), "n3": (0.1, 0.0)}
        assert await nodes.at_once(4) == [b"1"] * 4
        assert nodes.ran == [2, 0, 2]  # the less busy one first
        assert await nodes.at_once(9) == [b"1"] * 9
        assert nodes.ran == [2 + 2 + 3, 2, 4]

    three(body)


def test_nodes_share_a_reserved_concurrency(three: Any) -> None:
    async def body(nodes: Three) -> None:
        await reserve(nodes, 4)
        told = await nodes.at_once(6)
        assert sorted(nodes.ran) == [1, 1, 2]
        refused = [one for one in told if isinstance(one, AwsError)]
        assert [one.code for one in refused] == ["TooManyRequestsException"] * 2
        assert refused[0].fields["Reason"] == RESERVED_LIMIT

        nodes.neighbours[2].down = True  # its share falls to the others
        told = await nodes.at_once(6)
        assert sum(isinstance(one, bytes) for one in told) == 4
        assert sum(nodes.ran[:2]) - nodes.ran[2] in range(5, 8)

        await reserve(nodes, 0)
        assert not [one for one in await nodes.at_once(2) if isinstance(one, bytes)]

    three(body)


def test_a_drained_node_and_a_busy_one_have_it_run_by_others(three: Any) -> None:
    async def body(nodes: Three) -> None:
        nodes.drained.add("n1")
        assert await nodes.at_once(3) == [b"1"] * 3
        assert nodes.ran[0] == 0

        nodes.drained.clear()
        nodes.shares |= {"n1": (1.0, 0.0), "n2": (0.8, 0.0), "n3": (0.9, 0.0)}
        assert await nodes.at_once(3) == [b"1"] * 3
        assert nodes.ran[0] == 3  # the others are no better off

    three(body)


def test_a_much_less_busy_node_is_asked_first(three: Any) -> None:
    async def body(nodes: Three) -> None:
        nodes.shares |= {"n1": (1.0, 0.0), "n2": (0.2, 0.0), "n3": (0.3, 0.0)}
        assert await nodes.at_once(3) == [b"1"] * 3
        assert nodes.ran[0] == 0

    three(body)


def test_a_node_whose_workers_are_taken_asks_one_that_has_some(three: Any) -> None:
    """Though their machine's processors are as busy for both."""

    async def body(nodes: Three) -> None:
        nodes.shares |= {"n1": (1.0, 0.9), "n2": (1.0, 0.2), "n3": (1.0, 0.5)}
        assert await nodes.at_once(3) == [b"1"] * 3
        assert nodes.ran[0] == 0

        nodes.shares |= {"n2": (1.0, 0.6), "n3": (1.0, 0.8)}
        assert await nodes.at_once(3) == [b"1"] * 3
        assert nodes.ran[0] == 3  # the others are little better off

        nodes.shares |= {"n1": (0.5, 0.9), "n2": (1.0, 0.2), "n3": (0.9, 0.2)}
        assert await nodes.at_once(3) == [b"1"] * 3
        assert nodes.ran[0] == 6  # they have workers, and no time

    three(body)


def test_a_node_that_knows_it_otherwise_does_not_run_it(three: Any) -> None:
    async def body(nodes: Three) -> None:
        nodes.drained.add("n1")
        for cloud in nodes.clouds[1:]:
            await cloud("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        assert await nodes.at_once(1) == [b"1"]
        assert nodes.ran == [1, 0, 0]

    three(body)


def test_what_may_have_run_elsewhere_is_not_run_again(three: Any) -> None:
    async def body(nodes: Three) -> None:
        nodes.drained.add("n1")

        def dies(spec: FunctionSpec, payload: bytes) -> Any:
            raise Unavailable("the runtime ended", "")

        for number in (1, 2):
            nodes.runtime(number).respond = dies
        (told,) = await nodes.at_once(1)
        assert isinstance(told, AwsError) and told.code == "ServiceException"
        assert sum(nodes.ran) == 1

        nodes.drained.clear()
        nodes.runtime(0).workers = 0
        nodes.clouds[0].nodes.hear_late()
        for neighbour in nodes.neighbours[1:]:
            neighbour.down = True  # not reached: it cannot have run
        assert await nodes.at_once(1) == [b"1"]
        assert nodes.ran[0] == 1

    three(body)


def test_what_did_not_begin_goes_to_the_next_node(three: Any) -> None:
    async def body(nodes: Three) -> None:
        nodes.drained.add("n1")
        nodes.runtime(1).away = True
        assert await nodes.at_once(6) == [b"1"] * 6
        assert nodes.ran == [0, 0, 6]

        nodes.runtime(2).away = True  # the drained one is better than none
        assert await nodes.at_once(1) == [b"1"]
        assert nodes.ran == [1, 0, 6]

        nodes.drained.clear()
        nodes.runtime(0).away, nodes.runtime(2).away = True, False
        assert await nodes.at_once(6) == [b"1"] * 6
        assert nodes.ran == [1, 0, 12]

        nodes.runtime(2).away = True
        (told,) = await nodes.at_once(1)
        assert (told.code, told.status) == ("ServiceException", 500)

    three(body)


def test_code_that_cannot_be_had_here_is_run_where_it_is(three: Any) -> None:
    async def body(nodes: Three) -> None:
        async def cut_off(digest: str) -> None:
            raise Unavailable("no node that has it answers")

        blobs = nodes.clouds[0].blobs
        blobs.fetch = cut_off  # type: ignore[method-assign]
        for path in (nodes.clouds[0].home / "blobs").rglob("*"):
            if path.is_file() and len(path.name) == 64:
                path.unlink()
        assert await nodes.at_once(2) == [b"1"] * 2
        assert nodes.ran[0] == 0

    three(body)


async def provide(nodes: Three, count: int) -> None:
    """Version 1 with provisioned workers."""
    for cloud in nodes.clouds:
        await cloud("PublishVersion", FunctionName="f")
        wanted = {"Qualifier": "1", "ProvisionedConcurrentExecutions": count}
        await cloud("PutProvisionedConcurrencyConfig", FunctionName="f", **wanted)


def test_nodes_divide_provisioned_workers(three: Any) -> None:
    async def body(nodes: Three) -> None:
        async def kept(count: int, *wanted: int) -> list[int]:
            """Wait until the first nodes keep so many, in any order, seconds after a change."""
            for cloud in nodes.clouds:
                await cloud.clock.advance(5)
            runtimes = [cloud.runtime for cloud in nodes.clouds[:count]]
            while True:
                told = [sum(runtime.provisioned.values()) for runtime in runtimes]
                if sorted(told) == [*wanted]:
                    return told
                await asyncio.sleep(0.01)

        await provide(nodes, 4)
        await kept(3, 1, 1, 2)
        nodes.drained.add("n1")
        assert (await kept(3, 0, 2, 2))[0] == 0
        nodes.drained.clear()
        await kept(3, 1, 1, 2)
        nodes.neighbours[2].down = True
        await kept(2, 2, 2)

    three(body, background=True)


def test_provisioned_workers_of_all_nodes_are_told_together(three: Any) -> None:
    async def body(nodes: Three) -> None:
        await provide(nodes, 3)
        wish = {"FunctionName": "f", "Qualifier": "1"}

        async def told(at: int) -> tuple[int, int, str]:
            config = await nodes.clouds[at]("GetProvisionedConcurrencyConfig", **wish)
            names = ("AllocatedProvisioned", "AvailableProvisioned")
            allocated, available = (config[f"{name}ConcurrentExecutions"] for name in names)
            return allocated, available, config.get("StatusReason") or config["Status"]

        arn = (await nodes.clouds[0]("GetFunction", **wish))["Configuration"]["FunctionArn"]
        for number in range(3):
            nodes.runtime(number).keeps[arn] = Kept(1, int(number < 2))
        assert await told(0) == await told(2) == (3, 2, "IN_PROGRESS")
        nodes.runtime(2).keeps[arn] = Kept(0, 0, "no jail")
        assert await told(0) == await told(2) == (2, 2, "no jail")
        nodes.runtime(2).keeps[arn] = Kept(1, 1)
        assert await told(0) == await told(2) == (3, 3, "READY")
        nodes.neighbours[2].down = True  # until its share falls to the others
        assert await told(0) == (2, 2, "IN_PROGRESS")

    three(body)


def test_a_provisioned_worker_that_is_idle_comes_first(three: Any) -> None:
    async def body(nodes: Three) -> None:
        await provide(nodes, 1)
        nodes.runtime(1).idle = 1
        assert await nodes.at_once(1, name="f:1") == [b"1"]
        assert nodes.ran == [0, 1, 0]
        first = asyncio.ensure_future(nodes.at_once(1, name="f:1"))
        await nodes.runtime(1).busy.wait()
        assert await nodes.at_once(1, name="f:1") == [b"1"]  # none is idle: one is started here
        await first
        assert nodes.ran == [1, 2, 0]
        assert await nodes.at_once(1) == [b"1"]  # not provisioned
        assert nodes.ran == [2, 2, 0]

    three(body)
