"""What a connection repeats under a known head is done and told as on the usual way, whatever was
written meanwhile (B1, B2)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bench.hot import Route
from pileus.errors import Unavailable
from pileus.wire import bound_objects
from pileus.wire.known_objects import KnownObjects
from pileus.wire.whole import WholeRequests
from tests.wire.test_known_objects import Cloud, comparable, rest, run

__all__ = ["run"]
KEYS = ("a", "b", "deep/c")
ENABLED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
TAGS = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"


class Lines:
    """A connection to each of a cloud's two servers."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self.swift = cloud, 0
        self._quick = Route(cloud.quick, [b""], True, 1)
        self._usual = Route(cloud.usual, [b""], True, 1)

    @property
    def door(self) -> Any:
        return self._quick.doors[0]

    async def ask(self, path: Route, data: bytes) -> bytes:
        path.requests[0] = data
        await path.once(1)
        return path.sinks[0].answer

    async def same(self, data: bytes) -> bytes:
        """The answer of both; ``swift`` counts those from its bytes."""
        known = self._cloud.objects
        before, ways = known._last, (known.get, known.head)
        known._last = None
        at = data.find(b"\r\n\r\n")
        ready = at in self.door.swifts
        found = await self.ask(self._quick, data)
        self.swift += ready and known._last is None and found[9:12] == b"200"
        known._last = known._last or before
        assert ways == (known.get, known.head)
        usual = await self.ask(self._usual, data)
        assert ordered(found) == ordered(usual)
        return found


def ordered(answer: bytes) -> tuple[list[bytes], bytes]:
    lines, body = comparable(answer)
    return sorted(lines), body


def test_reads_between_all_kinds_of_writes(run: Any) -> None:
    """The two ways agree after every write, the kept answers' way among them."""

    async def test(c: Cloud) -> None:
        lines, chance = Lines(c), random.Random(3)
        methods = [(method, more) for method in ("GET", "HEAD") for more in ("", "ENABLED")]
        asks: list[bytes] = []
        for method, checked in methods:
            told = {"x_amz_checksum_mode": checked} if checked else {}
            asks += c.pair(*[(method, f"/bucket/{key}") for key in KEYS], **told)

        async def write() -> None:
            key, server = chance.choice(KEYS), chance.choice((c.quick, c.usual))
            wish: tuple[Any, ...] = chance.choice(
                [
                    ("PUT", f"/bucket/{key}", chance.randbytes(chance.choice((0, 9, 1024)))),
                    ("PUT", f"/bucket/{key}", chance.randbytes(5)),
                    ("PUT", f"/bucket/{key}", bytes(20_000)),
                    ("DELETE", f"/bucket/{key}"),
                    ("PUT", f"/bucket/{key}?tagging", TAGS),
                    ("PUT", "/bucket?versioning", ENABLED),
                ]
            )
            await c.ask(server, c.request(*wish))

        for key in KEYS:
            await c.ask(c.usual, c.request("PUT", f"/bucket/{key}", key.encode()))
        for data in asks * 3:
            await lines.same(data)
        assert lines.swift >= len(asks)
        for _ in range(40):
            await write()
            for data in chance.sample(asks, 4):
                await lines.same(data)
        assert lines.swift > len(asks) + 40

    run(test)


def test_permissions_and_configurations_hold_at_once(run: Any) -> None:
    async def test(c: Cloud) -> None:
        iam = c.iam

        async def status(data: bytes) -> bytes:
            return (await lines.same(data))[9:12]

        await c.ask(c.usual, c.request("PUT", "/bucket/k", b"hello"))
        await iam("CreateUser", UserName="u")
        made = (await iam("CreateAccessKey", UserName="u"))["AccessKey"]
        policy = (
            '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject",'
            '"Resource":"arn:aws:s3:::bucket/*"}}'
        )
        allow = {"UserName": "u", "PolicyName": "p"}
        await iam("PutUserPolicy", **allow, PolicyDocument=policy)
        root = c.key, c.secret
        c.key, c.secret = made["AccessKeyId"], made["SecretAccessKey"]
        lines, get = Lines(c), c.request("GET", "/bucket/k")
        for _ in range(5):
            assert await status(get) == b"200"
        assert lines.swift >= 2
        key = {"UserName": "u", "AccessKeyId": c.key}
        await iam("UpdateAccessKey", **key, Status="Inactive")
        assert await status(get) == b"403"
        await iam("UpdateAccessKey", **key, Status="Active")
        assert await status(get) == b"200"
        await iam("DeleteUserPolicy", **allow)
        assert await status(get) == b"403"
        await iam("PutUserPolicy", **allow, PolicyDocument=policy)
        assert await status(get) == b"200"
        deny = policy.replace("Allow", "Deny").replace('"Action"', '"Principal":"*","Action"')
        c.key, c.secret = root
        told = await c.ask(c.usual, c.request("PUT", "/bucket?policy", deny.encode()))
        assert told[9:12] == b"204"
        assert await status(get) == b"403"
        await c.ask(c.usual, c.request("DELETE", "/bucket?policy"))
        assert await status(get) == b"200"
        assert lines.swift > 2

    run(test)


def test_an_old_signature_ends_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(c: Cloud) -> None:
        await c.ask(c.usual, c.request("PUT", "/bucket/k", b"hello"))
        lines, get = Lines(c), c.request("GET", "/bucket/k")
        for _ in range(5):
            await lines.same(get)
        before, now_ms = lines.swift, c.front.api.now_ms()
        assert before >= 2
        for later_ms, swift in ((200_000, True), (400_000, False), (-400_000, False)):
            monkeypatch.setattr(c.objects, "_now_ms", lambda at=now_ms + later_ms: at)
            c.objects._last.until_ns = 0  # it is looked at again
            (answer,) = lines.door.swifts[get.find(b"\r\n\r\n")]
            assert answer(lines.door, get) == swift

    run(test)


def test_damage_is_told_as_ever(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row whose bytes changed on the disk is no answer, whichever way it was to take."""

    async def test(c: Cloud) -> None:
        await c.ask(c.usual, c.request("PUT", "/bucket/k", b"hello"))
        await c.ask(c.usual, c.request("PUT", "/bucket/l", b"other"))
        lines, (get, other) = Lines(c), c.pair(("GET", "/bucket/k"), ("GET", "/bucket/l"))
        for _ in range(5):
            assert (await lines.same(get))[9:12] == b"200"
        (answer,) = lines.door.swifts[get.find(b"\r\n\r\n")]
        assert answer(lines.door, other)
        plain = c.objects._objects
        row = plain._get

        def spoilt(key: bytes) -> bytes:
            value = row(key)
            assert value is not None
            return value[:-1] + bytes([value[-1] ^ 1])

        monkeypatch.setattr(plain, "_get", spoilt)
        monkeypatch.setattr(plain._kept, "_row", spoilt)
        plain._kept._kept.clear()
        for data in (get, other):
            assert c.objects.get(data, b"") is None
            assert not bound_objects.reads(c.objects, c.objects._last)(lines.door, data)

    run(test)


def test_a_lost_key_is_told_as_ever(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(c: Cloud) -> None:
        plain, lines = c.objects._objects, Lines(c)
        put, get, other = c.pair(
            *[(m, "/bucket/k", b"") for m in ("PUT", "GET")], ("GET", "/bucket/l")
        )
        for path in ("/bucket/k", "/bucket/l"):
            await c.ask(c.usual, c.request("PUT", path))
        for data in (put, get) * 3:
            assert (await lines.same(data))[9:12] == b"200"

        def lost(key_id: str) -> bytes:
            raise Unavailable("the key is missing", "pileus verify")

        for place, name in ((plain, "_secret"), (plain._room.keys, "secret")):
            monkeypatch.setattr(place, name, lost)
        plain._heads.clear()
        (writes,) = (h for h in c.objects._heads.values() if h.told is not None)
        assert (await lines.same(other))[9:12] == b"503"
        assert not bound_objects.writes(c.objects, writes)(lines.door, put)
        assert not c.objects.put(put, lines.door, 0)

    run(test)


CHECKED = {"x_amz_checksum_crc32": "NhCmhg=="}  # of "hello"


def test_writes_that_a_connection_repeats(run: Any) -> None:
    """Each stores its own bytes under its own key, told as on the usual way; a repeat has one
    effect, a wrong one none."""

    async def test(c: Cloud) -> None:
        lines, bodies = Lines(c), {b"%d" % n: f"/bucket/{n}" for n in range(6)}
        wishes = [("PUT", path, body) for body, path in bodies.items()]
        puts = c.pair(*wishes, ("PUT", "/bucket/0", b"9"), content_type="text/x", x_amz_meta_a="%b")
        for data in (*puts, *puts[:-1]):
            assert (await lines.same(data))[9:12] == b"200"
        assert lines.door.swifts
        for body, path in bodies.items():
            found = await c.ask(c.usual, c.request("GET", path))
            assert found.endswith(b"\r\n\r\n" + (b"9" if body == b"0" else body))
            assert b"\r\nx-amz-meta-a: %b\r\n" in found and b"text/x\r\n" in found
        put = puts[3]
        again = put.replace(b"invocation-id: ", b"invocation-id: 0")  # not the one that was done
        for wrong, status in (
            (put[:-1] + b"4", b"400"),
            (put.replace(b"/bucket/3", b"/bucket/4"), b"403"),
            (again.replace(b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n", 1), b"412"),
            (put.replace(b"%b", b"%c"), b"403"),
        ):
            assert (await lines.same(wrong))[9:12] == status, wrong
        await c.ask(c.usual, c.request("PUT", "/bucket?versioning", ENABLED))
        told = [await lines.ask(lines._quick, data) for data in (puts[5], c.pair(wishes[5])[0])]
        assert [t.count(b"x-amz-version-id: ") for t in told] == [0, 1]  # the first is a repeat

    run(test)


def test_checksums_and_folders_are_compared(run: Any) -> None:
    async def test(c: Cloud) -> None:
        lines = Lines(c)
        wishes = [("PUT", f"/bucket/{n}", b"hello") for n in range(4)]
        for data in c.pair(*wishes, **CHECKED):
            assert b"\r\nx-amz-checksum-crc32: NhCmhg==\r\n" in await lines.same(data)
        assert lines.door.swifts
        here = "bucket.s3.localhost:4566"
        for path in ("/a/b", "/a/c"):
            await c.ask(c.usual, c.request("PUT", path, path.encode(), here))
        asks = [("GET", path, b"", here) for path in ("/a/b", "/a/c", "/0/b")]
        inner, other, none = c.pair(*asks)
        for data in (inner, other) * 3:
            assert (await lines.same(data))[-4:] == data[4:8]
        assert lines.swift >= 2 and (await lines.same(none))[9:12] == b"404"
        (wrong,) = c.pair(("PUT", "/bucket/0", b"jello"), **CHECKED)
        assert (await lines.same(wrong))[9:12] == b"400"

    run(test)


def test_any_byte_changed_is_not_taken_for_another_request(run: Any) -> None:
    """With every signature believed: what is answered, the strict reader reads the same."""

    async def test(c: Cloud) -> None:
        asks = c.pair(("GET", "/bucket/k"), ("HEAD", "/bucket/k"), ("PUT", "/bucket/k", b"hello"))
        await c.ask(c.usual, c.request("PUT", "/bucket/k", b"hello"))
        seen: list[tuple[str, bytes]] = []

        class Asked:
            def reading(self, bucket: Any, *told: Any) -> Any:
                return lambda key: told[-1](key) and (seen.append((key.decode(), b"")) or b"\r\n")

            def storing(self, bucket: Any, told: Any) -> Any:
                return lambda key, data, *more: seen.append((key, data)) or b""

            bytes_max = 100

        answers, lines = [], Lines(c)
        for data in asks:
            await c.learn(data)
            known: KnownObjects = c.objects
            (found,) = (h for h in known._heads.values() if h.raw[:3] == data[:3])
            believed, known._believed = known._believed, believe  # type: ignore[method-assign]
            objects, known._objects = known._objects, Asked()  # type: ignore[assignment]
            make = bound_objects.reads if found.told is None else bound_objects.writes
            answers.append(make(known, found))
            known._believed, known._objects = believed, objects  # type: ignore[method-assign]
        chance, whole, taken = random.Random(11), WholeRequests(32768), 0
        for data, answer in list(zip(asks, answers, strict=True)) * 2500:
            spoilt = bytearray(data)
            for _ in range(chance.choice((1, 1, 2, 3))):
                at = chance.randrange(len(spoilt))
                if chance.random() < 0.3:
                    at = data.find(b" ") + chance.randrange(12)
                spoilt[at] = chance.choice((*b"/k.=?% \r\n:0aA~", chance.randrange(256)))
            seen.clear()
            now = bytes(spoilt) + chance.choice((b"", b"", b"", b"x", data))
            if not answer(lines.door, now):
                continue
            taken += 1
            strict, before = whole.read(now, ""), whole.read(data, "")
            assert strict is not None and before is not None
            assert strict.path == f"/bucket/{seen[0][0]}" and strict.query == ""
            assert strict.body == seen[0][1] and rest(strict) == rest(before)
        assert taken > 50

    def believe(known: Any, request: bytes, signature: bytes) -> Any:
        digits = len(signature) == 64 and not signature.translate(None, b"0123456789abcdef")
        return known.verdict if digits else None

    run(test)
