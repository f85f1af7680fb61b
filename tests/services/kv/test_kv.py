"""The wide table over signed HTTP (S1, S2)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.kv.client import WideTable


@pytest.fixture
def kv(cloud: Any) -> WideTable:
    return WideTable(cloud)


@pytest.fixture
def table() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def test_put_get_delete(kv: WideTable, table: str) -> None:
    put = kv("PUT", f"{table}/row%2F1/caf%C3%A9%20%00", b"value")
    assert put.status == 200, put.body
    got = kv("GET", f"{table}/row%2F1/caf%C3%A9%20%00")
    assert (got.status, got.body, got.version) == (200, b"value", put.version)
    assert (
        kv("GET", f"{table}/row%2F1/caf%C3%A9%20%00", if_none_match=f'"{put.version}"').status
        == 304
    )
    assert kv("HEAD", f"{table}/row%2F1/caf%C3%A9%20%00").headers["content-length"] == "5"
    assert kv("DELETE", f"{table}/row%2F1/caf%C3%A9%20%00").status == 204
    missing = kv("GET", f"{table}/row%2F1/caf%C3%A9%20%00")
    assert missing.status == 404 and json.loads(missing.body)["__type"] == "CellNotFound"


def test_conditional_puts(kv: WideTable, table: str) -> None:
    first = kv("PUT", f"{table}/r/c", b"1", if_none_match="*")
    assert first.status == 200
    again = kv("PUT", f"{table}/r/c", b"2", if_none_match="*")
    assert again.status == 412 and again.version == first.version
    second = kv("PUT", f"{table}/r/c", b"2", if_match=f'"{first.version}"')
    assert second.status == 200 and second.version > first.version
    assert kv("DELETE", f"{table}/r/c", if_match=f'"{first.version}"').status == 412
    assert kv("GET", f"{table}/r/c").body == b"2"

    def swap(old: bytes | None, new: bytes) -> int:
        told = {
            "old": None if old is None else base64.b64encode(old).decode(),
            "new": base64.b64encode(new).decode(),
        }
        return kv("POST", f"{table}/r/c", json.dumps(told).encode()).status

    assert swap(b"1", b"3") == 412 and swap(None, b"3") == 412
    assert swap(b"2", b"3") == 200
    large = b"x" * 300_000
    assert swap(b"3", large) == 200
    assert swap(b"y" * 300_000, b"4") == 412
    assert swap(large, b"4") == 200
    assert kv("GET", f"{table}/r/c").body == b"4"


def test_a_repeated_put_has_one_effect_and_one_answer(kv: WideTable, table: str) -> None:
    told = {"amz_sdk_invocation_id": str(uuid.uuid4()), "if_none_match": "*"}
    first, again = (kv("PUT", f"{table}/r/c", b"1", **told) for _ in range(2))
    assert (first.status, again.status) == (200, 200) and first.version == again.version


def test_another_put_under_the_same_retry_id_is_no_repeat(kv: WideTable, table: str) -> None:
    same = {"amz_sdk_invocation_id": str(uuid.uuid4())}
    for body in (b"1", b"22"):
        assert kv("PUT", f"{table}/r/c", body, **same).status == 200
    assert kv("GET", f"{table}/r/c").body == b"22"


def test_listing_rows_and_columns_in_pages(kv: WideTable, table: str) -> None:
    for row in ("a", "ab", "b", "ba\x00", "c"):
        for column in ("x1", "x2", "y"):
            path = f"{table}/{row.replace(chr(0), '%00')}/{column}"
            assert kv("PUT", path, column.encode()).status == 200
    rows, after = [], ""
    while True:
        page = json.loads(kv("GET", f"{table}?limit=2&after={after}").body)
        rows += page["rows"]
        if "next" not in page:
            break
        after = page["next"].replace("\x00", "%00")
    assert rows == ["a", "ab", "b", "ba\x00", "c"]
    assert json.loads(kv("GET", f"{table}?prefix=a").body)["rows"] == ["a", "ab"]
    page = json.loads(kv("GET", f"{table}/ab?prefix=x&limit=1").body)
    assert [c["column"] for c in page["columns"]] == ["x1"] and page["next"] == "x1"
    page = json.loads(kv("GET", f"{table}/ab?prefix=x&after=x1").body)
    assert [(c["column"], c["size"]) for c in page["columns"]] == [("x2", 2)] and "next" not in page
    assert json.loads(kv("GET", f"{table}/nothing").body)["columns"] == []


def test_bad_requests_are_refused_in_words(cloud: Any, kv: WideTable, table: str) -> None:
    for method, path, status in (
        ("GET", "bad%20name/r/c", 400),
        ("GET", f"{table}/{'r' * 1025}/c", 400),
        ("GET", f"{table}?limit=0", 400),
        ("PATCH", f"{table}/r/c", 405),
        ("PUT", f"{table}/r", 405),
        ("GET", f"{table}/r/c/d", 405),
    ):
        answer = kv(method, path)
        assert answer.status == status and json.loads(answer.body)["message"], (method, path)
    assert kv("PUT", f"{table}/r/c", b"", if_match="x").status == 400
    assert kv("POST", f"{table}/r/c", b"{}").status == 400
    assert WideTable(cloud, "wrong secret")("GET", f"{table}/r/c").status == 403
    bare = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=60)
    bare.request("GET", f"/_pileus/kv/{table}/r/c")
    assert bare.getresponse().status == 403
    bare.close()


def _pieces(total: int) -> Iterator[bytes]:
    piece = hashlib.sha256(b"piece").digest() * 8192
    for at in range(0, total, len(piece)):
        yield piece[: total - at]


def _resident_peak_kib(home: Path) -> int:
    """The greatest resident size any front process has had."""
    supervisor = json.loads((home / "run" / "cloud.json").read_text())["pid"]
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    peaks = []
    for child in children:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that just ended
            for line in Path(f"/proc/{child}/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    peaks.append(int(line.split()[1]))
    return max(peaks)


def test_a_large_value_streams_in_flat_memory(cloud: Any, kv: WideTable, table: str) -> None:
    size = 200 * 1024 * 1024 + 7
    before = _resident_peak_kib(cloud.home)
    put = kv("PUT", f"{table}/big/v", _pieces(size), size)
    assert put.status == 200, put.body
    whole = b"".join(_pieces(size))
    edge = 64 * 1024 * 1024
    part = kv("GET", f"{table}/big/v", range=f"bytes={edge - 5}-{edge + 4}")
    assert part.status == 206 and part.body == whole[edge - 5 : edge + 5]
    assert part.headers["content-range"] == f"bytes {edge - 5}-{edge + 4}/{size}"
    assert kv("GET", f"{table}/big/v", range="bytes=-7").body == whole[-7:]
    assert kv("GET", f"{table}/big/v", range=f"bytes={size}-").status == 416
    got = kv("GET", f"{table}/big/v")
    assert hashlib.sha256(got.body).digest() == hashlib.sha256(whole).digest()
    assert _resident_peak_kib(cloud.home) - before < 60 * 1024
    assert kv("DELETE", f"{table}/big/v").status == 204


def test_tables_that_hold_a_cell_are_listed(kv: WideTable, table: str) -> None:
    def listed() -> list[str]:
        return list(json.loads(kv("GET", "").body)["tables"])

    assert table not in listed()
    kv("PUT", f"{table}/r/c", b"1")
    kv("PUT", f"{table}.more/r/c", b"1")
    assert {table, f"{table}.more"} <= set(listed()) and listed() == sorted(listed())
    kv("DELETE", f"{table}/r/c")
    assert table not in listed()
