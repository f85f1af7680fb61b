"""Hostile archives."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.errors import AwsError
from pileus.runtime.function import Code
from pileus.runtime.unpack import CodeCache, inspect, unpack


def archive(path: Path, entries: list[tuple[str, bytes, int]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data, mode in entries:
            entry = zipfile.ZipInfo("placeholder")
            entry.filename = name
            entry.external_attr = mode << 16
            z.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return path


def refused(path: Path, folder: Path, limit: int = 1 << 20) -> str:
    with pytest.raises(AwsError) as error:
        unpack(path, folder, limit)
    assert error.value.code == "InvalidParameterValueException"
    return error.value.message


FILE, LINK = 0o100644, stat.S_IFLNK | 0o777


def test_tree_modes_and_links(tmp_path: Path) -> None:
    entries = [
        ("a/b.txt", b"text", FILE), ("run", b"#!", 0o100700), ("empty/", b"", 0o40755),
        ("bin/b", b"../a/b.txt", LINK), ("./dot/x", b"1", 0),
    ]  # fmt: skip
    path = archive(tmp_path / "z", entries)
    assert inspect(path) == unpack(path, tmp_path / "out") + len("../a/b.txt")
    out = tmp_path / "out"
    assert (out / "bin/b").read_bytes() == b"text" and (out / "empty").is_dir()
    assert stat.S_IMODE((out / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "a/b.txt").stat().st_mode) == 0o644
    assert (out / "dot/x").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\..\\x", "a/" * 65 + "x"])
def test_names_that_leave(tmp_path: Path, name: str) -> None:
    refused(archive(tmp_path / "z", [(name, b"x", FILE)]), tmp_path / "out")
    assert os.listdir(tmp_path) == ["z"] or not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("goal", [b"/etc/passwd", b"../../x", b"", b"a\0b", b"\xff"])
def test_links_that_leave(tmp_path: Path, goal: bytes) -> None:
    refused(archive(tmp_path / "z", [("d/l", goal, LINK)]), tmp_path / "out")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """Also not through one that an earlier layer made."""
    out = tmp_path / "out"
    unpack(archive(tmp_path / "1", [("d/keep", b"", FILE), ("l", b"d", LINK)]), out)
    refused(archive(tmp_path / "2", [("l/evil", b"x", FILE)]), out)
    refused(archive(tmp_path / "3", [("l/m", b"keep", LINK)]), out)
    refused(archive(tmp_path / "4", [("l/sub/", b"", 0o40755)]), out)
    assert os.listdir(out / "d") == ["keep"]
    unpack(archive(tmp_path / "5", [("l", b"now a file", FILE)]), out)
    assert (out / "l").read_bytes() == b"now a file" and (out / "d/keep").read_bytes() == b""


def test_bomb(tmp_path: Path) -> None:
    path = archive(tmp_path / "z", [("zeros", bytes(3 << 20), FILE)])
    assert path.stat().st_size < 10_000
    assert "Unzipped size must be smaller than" in refused(path, tmp_path / "out")


def test_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    path = archive(tmp_path / "z", [("zeros", bytes(3 << 20), FILE)])
    data = bytearray(path.read_bytes())
    real = (3 << 20).to_bytes(4, "little")
    assert data.count(real) == 2
    path.write_bytes(data.replace(real, (100).to_bytes(4, "little")))
    refused(path, tmp_path / "out")
    written = sum(f.stat().st_size for f in (tmp_path / "out").rglob("*"))
    assert written <= 1 << 20


def test_damaged_and_encrypted(tmp_path: Path) -> None:
    good = archive(tmp_path / "z", [("a", b"hello" * 100, FILE)]).read_bytes()
    for number, data in enumerate((b"", b"not a zip", good[:40], good[:-30], b"\0" * 5000)):
        path = tmp_path / f"bad{number}"
        path.write_bytes(data)
        assert "Could not unzip" in refused(path, tmp_path / "out")
    flagged = bytearray(good)
    flagged[6] |= 1
    flagged[good.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "e").write_bytes(flagged)
    assert "Could not unzip" in refused(tmp_path / "e", tmp_path / "out")


def codes_of(tmp_path: Path, count: int) -> list[Code]:
    files = [archive(tmp_path / f"z{n}", [("f", bytes(1000), FILE)]) for n in range(count)]
    return [Code(str(n), str(path)) for n, path in enumerate(files)]


def test_cache_keeps_by_digest_and_trims(tmp_path: Path) -> None:
    later: list[Callable[[], None]] = []
    cache = CodeCache(tmp_path / "cache", bytes_max=1500, later=later.append)
    codes = codes_of(tmp_path, 3)
    assert cache.ready(codes[0], ()) is None
    names = [cache.ensure(code, ())[0] for code in codes]
    assert cache.ready(codes[0], ()) == (names[0], "")
    cache.trim({names[0]})
    for work in later:  # for trees that are gone, too
        work()
    assert sorted(os.listdir(tmp_path / "cache")) == [names[0], f"{names[0]}.whole"]
    assert cache.ensure(codes[2], (codes[0], codes[1]))[1].startswith("l-")
    again = CodeCache(tmp_path / "cache")
    assert again.ready(codes[0], ()) is not None


def test_what_a_power_cut_may_have_emptied_is_unpacked_again(tmp_path: Path) -> None:
    """The next process believes no tree that was not brought to the disk."""
    [code] = codes_of(tmp_path, 1)
    name = CodeCache(tmp_path / "cache", later=lambda work: None).ensure(code, ())[0]
    (tmp_path / "cache" / name / "f").write_bytes(b"")  # as a cut leaves what was not synced
    later: list[Callable[[], None]] = []
    cache = CodeCache(tmp_path / "cache", later=later.append)
    assert cache.ready(code, ()) is None
    assert cache.ensure(code, ())[0] == name
    assert (tmp_path / "cache" / name / "f").read_bytes() == bytes(1000)
    later[0]()
    assert CodeCache(tmp_path / "cache").ready(code, ()) is not None


def test_a_tree_is_marked_only_after_its_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = codes_of(tmp_path, 1)
    later: list[Callable[[], None]] = []
    cache = CodeCache(tmp_path / "cache", later=later.append)
    mark = tmp_path / "cache" / f"{cache.ensure(code, ())[0]}.whole"
    marked: list[bool] = []

    def fails(path: Path) -> None:
        marked.append(mark.exists())
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pileus.runtime.unpack.sync_filesystem", fails)
    later[0]()
    assert marked == [False] and not mark.exists()


def test_half_of_a_tree_that_was_dropped_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = codes_of(tmp_path, 2)
    later: list[Callable[[], None]] = []
    cache = CodeCache(tmp_path / "cache", bytes_max=1500, later=later.append)
    for code in codes:
        cache.ensure(code, ())
    for work in later:
        work()
    with monkeypatch.context() as patched:  # killed while it removed
        patched.setattr("shutil.rmtree", lambda *told, **more: None)
        cache.trim(set())
    again = CodeCache(tmp_path / "cache")
    assert again.ready(codes[0], ()) is None and again.ready(codes[1], ()) is not None
    assert len(os.listdir(tmp_path / "cache")) == 2


def test_failed_unpacking_leaves_nothing(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "cache")
    bad = archive(tmp_path / "z", [("ok", b"1", FILE), ("l", b"../..", LINK)])
    with pytest.raises(AwsError):
        cache.ensure(Code("x", str(bad)), ())
    assert os.listdir(tmp_path / "cache") == []
