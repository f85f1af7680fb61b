"""The replicated log on one real server: order, repeats, gaps, and replicas that cannot go on."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import apsw
import pytest

from pileus.engine import Behind, LostEnd
from pileus.engine.cluster import log as cluster_log
from pileus.engine.cluster import log_messages, log_publish, renew, streams
from pileus.engine.cluster.log import ClusterLog
from pileus.engine.cluster.log_messages import Message, Position
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import Unavailable
from pileus.nodes import lost_log
from pileus.state import keys, rebuild
from pileus.state.entry import ENTRY_BYTES_MAX
from pileus.state.replica import SqliteReplica
from pileus.state.store import Store
from tests.cluster.replicas import RULES, LogServers, Replicas, copying, until, value


def test_replicas_agree_and_a_barrier_shows_what_another_acknowledged(replicas: Replicas) -> None:
    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            for n in range(30):
                writer, reader = (a, b) if n % 2 else (b, a)
                length = await writer.submit("test.append", n)
                await reader.barrier()
                assert len(value(reader)) == length == n + 1
            await asyncio.gather(*(s.submit("test.append", n) for n in range(100) for s in (a, b)))
            await asyncio.gather(a.barrier(), b.barrier())
            assert value(a) == value(b) and len(value(a)) == 230
            assert (a.replica.applied, a.replica.chain) == (b.replica.applied, b.replica.chain)

    asyncio.run(body())


def test_a_front_process_asks_the_writer_for_its_barrier(replicas: Replicas) -> None:
    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            front = await Store.connect(replicas.home("a"), SystemClock(), node="a")
            assert front.strong is not None
            for n in range(10):
                await b.submit("test.append", n)
                applied = await front.strong()
                assert applied >= b.replica.applied and len(value(front)) == n + 1
            assert await front.submit("test.append", 1) == 11
            many = await asyncio.gather(*(front.strong() for _ in range(200)))
            assert min(many) >= 11 and len(set(many)) == 1  # they shared
            await front.close()
            assert a.strong is not None

    asyncio.run(body())


def test_one_machine_has_no_barrier_to_wait_for(tmp_path: Path) -> None:
    async def body() -> None:
        store = await Store.open(tmp_path, {}, SystemClock())
        assert store.strong is None
        await store.close()

    asyncio.run(body())


def test_a_message_stored_twice_is_applied_once_by_all(replicas: Replicas) -> None:
    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            stored = await _message_of(a, 7)
            subject = streams.subject(replicas.shard)
            for _ in range(3):  # as a frozen server's buffer would, long after the retry
                told = await a.log.client.request(subject, stored)  # type: ignore[union-attr]
                assert "duplicate" not in json.loads(told.data)
            await asyncio.gather(a.barrier(), b.barrier())
            assert value(a) == value(b) == b"\x07"
        async with replicas.store("a") as a:  # remembered with the rows
            await a.log.client.request(subject, stored)  # type: ignore[union-attr]
            assert await a.submit("test.append", 8) == 2

    asyncio.run(body())


async def _message_of(store: Store, n: int) -> bytes:
    """Append, and answer the bytes of the message that carried it."""
    sent: list[bytes] = []
    client: Any = store.log.client  # type: ignore[union-attr]
    send = client.send

    def noting(subject: str, body: bytes, *rest: Any) -> None:
        if subject.startswith("log."):
            sent.append(body)
        send(subject, body, *rest)

    client.send = noting
    await store.submit("test.append", n)
    client.send = send
    return sent[0]


def test_an_acknowledgement_that_never_comes_is_asked_for_again(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first copy of every message is lost on its way: repeats alone carry them."""

    async def body() -> None:
        async with replicas.store("a") as a:
            client: Any = a.log.client  # type: ignore[union-attr]
            send, seen = client.send, set()

            def losing(subject: str, body: bytes, *rest: Any) -> None:
                if subject.startswith("log.") and body not in seen:
                    seen.add(body)
                    return
                send(subject, body, *rest)

            client.send = losing
            lengths = await asyncio.gather(*(a.submit("test.append", n) for n in range(5)))
            assert sorted(lengths) == [1, 2, 3, 4, 5]

    asyncio.run(body())


def test_consumers_come_and_go_and_nothing_is_missed(replicas: Replicas) -> None:
    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            log: Any = b.log
            for n in range(40):
                await a.submit("test.append", n)
                if n % 8 == 0:
                    before = log._delivery.begun
                    log._delivery.reset()
                    await until(lambda: log._delivery.begun > before)  # noqa: B023
            await b.barrier()
            assert value(b) == bytes(range(40)) and log._delivery.begun >= 5

            name = await _consumer(b, replicas.shard)
            await streams.ask(log.client, f"CONSUMER.DELETE.{log.stream.name}.{name}")
            await a.submit("test.append", 40)
            await b.barrier()  # the silence was noticed
            assert len(value(b)) == 41

    asyncio.run(body())


async def _consumer(store: Store, shard: int) -> str:
    """The consumer that serves ``store``."""
    log: Any = store.log
    listed = await streams.ask(log.client, f"CONSUMER.LIST.{log.stream.name}")
    inbox = log._delivery.inbox
    return next(c["name"] for c in listed["consumers"] if c["config"]["deliver_subject"] == inbox)


def test_a_replica_the_log_has_left_behind_begins_from_anothers_state(replicas: Replicas) -> None:
    async def body() -> None:
        async with replicas.store("a") as a:
            async with replicas.store("b") as b:
                await b.submit("test.append", 0)
            for n in range(1, 20):
                await a.submit("test.append", n)
            log: Any = a.log
            await log.purge(log.at + 1)

            with pytest.raises(Exception, match="no other node has a copy"):
                async with replicas.store("b"):
                    pass
            async with replicas.store("b", fetch=copying(replicas.home("a"))) as b:
                assert value(b) == bytes(range(20))
                assert await b.submit("test.append", 20) == 21
                await a.barrier()
                assert b.replica.chain == a.replica.chain

    asyncio.run(body())


def test_a_new_node_begins_from_a_state_that_was_one_machines(replicas: Replicas) -> None:
    """Growing: the log begins where the embedded one ended."""

    async def body() -> None:
        alone = await Store.open(replicas.home("a"), RULES, SystemClock())
        for n in range(10):
            await alone.submit("test.append", n)
        await alone.close()
        async with replicas.store("a") as a:
            assert await a.submit("test.append", 10) == 11
            async with replicas.store("b", fetch=copying(replicas.home("a"))) as b:
                assert value(b) == bytes(range(11))
                assert await b.submit("test.append", 11) == 12

    asyncio.run(body())


def test_behind_is_named(replicas: Replicas) -> None:
    async def body() -> None:
        async with replicas.store("a") as a:
            await a.submit("test.append", 1)
            log: Any = a.log
            await a.submit("test.append", 2)
            await log.purge(log.at)
            other = ClusterLog(replicas.settings())
            replica = SqliteReplica(replicas.home("c") / "state.db", {})
            with pytest.raises(Behind, match="begins at message"):
                await other.start(replica)
            replica.close()

    asyncio.run(body())


def test_a_log_that_lost_its_end_is_not_followed(replicas: Replicas) -> None:
    async def body() -> None:
        async with replicas.store("a") as a:
            for n in range(5):
                await a.submit("test.append", n)
            log: Any = a.log
            failures: list[Exception] = []
            log._failed = failures.append
            await streams.ask(log.client, f"STREAM.DELETE.{log.stream.name}")
            await streams.create(log.client, replicas.shard, 1)
            with pytest.raises(Exception, match="replica stopped"):
                await a.submit("test.append", 5)
            await until(lambda: failures)
            assert isinstance(failures[0], LostEnd)
            assert value(a) == bytes(range(5))  # what was acknowledged is still read here

    asyncio.run(body())


def test_a_lost_log_is_made_anew_from_the_best_replica(
    replicas: Replicas, stopped: list[int]
) -> None:
    """The stream is deleted under running replicas; one of them is a few entries behind."""

    async def body() -> None:
        async with replicas.store("c") as c:
            await c.submit("test.append", 0)
        async with replicas.store("a") as a, replicas.store("b") as b:
            for n in range(1, 9):
                await b.submit("test.append", n)
            await a.barrier()
            log: Any = a.log
            await streams.ask(log.client, f"STREAM.DELETE.{log.stream.name}")
            for store in (a, b):  # nobody needs to write for it to be seen
                await until(lambda store=store: "renew-log" in store.degraded)
            best = lost_log.standing(replicas.home("a"))
            assert best.applied > lost_log.standing(replicas.home("c")).applied
            made = await renew.renew(log.client, replicas.shard, best, 1)
            assert (made.epoch, made.base) == (1, a.replica.applied)
            await until(lambda: len(stopped) == 2)  # both noticed, neither threw its state away
            for name in "ab":
                assert not rebuild.wished(replicas.home(name))
        async with replicas.store("a") as a, replicas.store("b") as b:
            assert await b.submit("test.append", 9) == 10
            async with replicas.store("c", fetch=copying(replicas.home("a"))) as c:
                assert await c.submit("test.append", 10) == 11
                await asyncio.gather(a.barrier(), b.barrier())
                assert a.replica.chain == b.replica.chain == c.replica.chain

    asyncio.run(body())


def test_a_log_that_lost_its_end_is_sealed_and_its_replicas_wait_for_another(
    replicas: Replicas, stopped: list[int]
) -> None:
    """Also at a start, again and again: nothing is ever sent to it."""

    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            for n in range(9):
                await a.submit("test.append", n)
            await b.barrier()
            client: Any = a.log.client  # type: ignore[union-attr]
            await streams.ask(client, f"STREAM.DELETE.{a.log.stream.name}")  # type: ignore[union-attr]
            await streams.create(client, replicas.shard, 1)  # what was acknowledged is not in it
        for _ in range(2):
            async with replicas.store("a") as a:
                assert len(value(a)) == 9 and "renew-log" in a.degraded
                with pytest.raises(Exception, match="replica stopped"):
                    await a.submit("test.append", 9)
                client = a.log.client  # type: ignore[union-attr]
                while not (now := await streams.info(client, a.log.stream.name)).sealed:  # type: ignore[union-attr]  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                assert now.last <= 1  # the question that found it out
        async with replicas.store("a") as a, replicas.store("b") as b:
            best = lost_log.standing(replicas.home("a"))
            await renew.renew(a.log.client, replicas.shard, best, 1)  # type: ignore[union-attr]
            await until(lambda: len(stopped) == 2)  # both see the new one by themselves
        async with replicas.store("a") as a, replicas.store("b") as b:
            assert await b.submit("test.append", 9) == 10 and not b.degraded
            await a.barrier()
            assert value(a) == bytes(range(10)) and a.replica.chain == b.replica.chain

    asyncio.run(body())


def test_a_log_is_renewed_under_writers_without_a_second_history(
    replicas: Replicas, stopped: list[int]
) -> None:
    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            log: Any = b.log
            done = 0

            async def write() -> None:
                nonlocal done
                while True:
                    await b.submit("test.append", done)
                    done += 1

            writing = asyncio.ensure_future(write())
            while done < 20:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            home, shard = replicas.home("a"), replicas.shard
            await renew.close_old(log.client, shard, lambda: lost_log.standing(home))
            made = await renew.renew(log.client, shard, lost_log.standing(home), 1)
            at_renewal = done
            for store in (a, b):
                store.log.seen(made)  # type: ignore[union-attr]
            with pytest.raises(Unavailable):
                await writing
            assert done == at_renewal  # nothing was acknowledged by the old one after that
            assert len(value(a)) >= done and len(stopped) == 2
        async with replicas.store("a") as a, replicas.store("b") as b:
            assert await b.submit("test.append", done) == len(value(a)) + 1 or len(value(b)) > done

    asyncio.run(body())


def test_a_hole_in_the_middle_of_the_log_is_passed_with_anothers_state(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = streams.settings
    monkeypatch.setattr(streams, "settings", lambda *told: made(*told) | {"deny_delete": False})

    async def body() -> None:
        async with replicas.store("a") as a:
            async with replicas.store("b") as b:
                await b.submit("test.append", 0)
            for n in range(1, 9):
                await a.submit("test.append", n)
            log: Any = a.log
            for number in (log.at - 2, log.at - 3):
                lost = {"seq": number}
                await streams.ask(log.client, f"STREAM.MSG.DELETE.{log.stream.name}", lost)
            async with replicas.store("b", fetch=copying(replicas.home("a"))) as b:
                assert value(b) == bytes(range(9))
            await streams.ask(log.client, f"STREAM.DELETE.{log.stream.name}")

    asyncio.run(body())


def test_the_longest_entries_fit_and_small_ones_share_messages(replicas: Replicas) -> None:
    async def body() -> None:
        async with replicas.store("a") as a:
            long = random.Random(1).randbytes(ENTRY_BYTES_MAX - 100)
            before = a.log.at  # type: ignore[union-attr]
            client: Any = a.log.client  # type: ignore[union-attr]
            send, sent = client.send, defaultdict[int, list[float]](list)

            def losing(subject: str, body: bytes, *rest: Any) -> None:
                if len(body) > ENTRY_BYTES_MAX - 100:
                    sent[log_messages.unpack(body).number].append(time.monotonic())
                    if sum(map(len, sent.values())) == 1:
                        return  # the first is lost on its way
                send(subject, body, *rest)

            client.send = losing
            await asyncio.gather(
                *(a.submit("test.put", ["long", long]) for _ in range(2)),
                *(a.submit("test.append", n) for n in range(300)),
            )
            assert max(map(len, sent.values())) > 1
            for times in sent.values():  # what is long is given time before it is sent again
                assert all(later - at > 2 for at, later in itertools.pairwise(times)), times
            assert a.get(keys.key("t", "p", "long")) == long and len(value(a)) == 300
            assert a.log.at - before < 20  # type: ignore[union-attr]

    asyncio.run(body())


def test_without_a_leader_callers_learn_that_nothing_is_known(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with replicas.store("a") as a:
            client: Any = a.log.client  # type: ignore[union-attr]
            send = client.send
            client.send = lambda subject, *rest: subject[:4] == "log." or send(subject, *rest)
            with monkeypatch.context() as patch:
                patch.setattr(log_publish, "GIVE_UP_S", 0.3)
                for _ in range(2):
                    waiting = [a.submit("test.append", n) for n in range(2000)]
                    told = await asyncio.gather(*waiting, a.barrier(), return_exceptions=True)
                    assert {type(error) for error in told} == {Unavailable}
                    assert a.degraded
            client.send = send
            await until(lambda: not a.degraded)
            assert await a.submit("test.append", 0) == 1

    asyncio.run(body())


def test_a_node_starts_with_what_it_has_and_goes_on_when_there_is_a_leader(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = LogServers(monkeypatch)

    async def body() -> None:
        async with replicas.store("a") as a:
            assert await a.submit("test.append", 0) == 1
            async with replicas.store("b") as b:
                assert await b.submit("test.append", 1) == 2
        async with replicas.store("b") as b:
            assert await b.submit("test.append", 2) == 3
        servers.silent = True
        monkeypatch.setattr(cluster_log, "ALONE_S", 0.5)  # while all is well it need not be soon
        async with replicas.store("a") as a:
            assert value(a) == bytes(range(2)) and a.degraded
            with pytest.raises(Unavailable, match="nothing can be written"):
                await a.submit("test.append", 9)
            servers.silent = False
            await until(lambda: not a.degraded)
            assert value(a) == bytes(range(3))
            assert await a.submit("test.append", 3) == 4

    asyncio.run(body())


def test_a_full_disk_is_waited_for_and_nothing_passed_over(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            apply, failing = b.replica.apply_group, [True]

            def full(*told: Any) -> list[bytes]:
                if failing:
                    raise apsw.FullError("database or disk is full")
                return apply(*told)

            monkeypatch.setattr(b.replica, "apply_group", full)
            for n in range(5):
                assert await a.submit("test.append", n) == n + 1
            assert value(b) == b""
            failing.clear()
            await b.barrier()
            assert value(b) == bytes(range(5))

    asyncio.run(body())


def test_a_sessions_messages_are_told_apart() -> None:
    position, entries = Position("LOG_0"), [b"x"]

    def take(number: int, session: bytes = b"s") -> bool:
        return position.take(position.at + 1, Message(session, number, entries))

    assert [take(n) for n in (1, 3, 2, 3, 1, 4)] == [True, True, True, False, False, True]
    assert take(4 + log_messages.WINDOW)
    assert not take(4) and take(5) and not take(5)
    again = Position.unpack(position.pack())
    assert again.pack() == position.pack() and again.at == position.at
    for n in range(2 * log_messages.SESSIONS_MAX):
        assert take(1, b"session %d" % n)
    assert len(position.pack()) < 64 * log_messages.SESSIONS_MAX


def test_damaged_messages_are_refused() -> None:
    whole = log_messages.pack(b"s", 1, [b"entry"])
    assert log_messages.unpack(whole).entries == [b"entry"]
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 4
        with pytest.raises(log_messages.DamagedMessage):
            log_messages.unpack(bytes(flipped))
