"""Series on disk: what was written is read, restarts and torn tails do no harm."""

import math
from pathlib import Path

from pileus.telemetry import rings
from pileus.telemetry.rings import Ring, segments

T = 1_800_000_000


def _filled(folder: Path, seconds: int, start: int = T) -> Ring:
    ring = Ring(folder, 1, 6 * 3600)
    ring.open()
    for i in range(seconds):
        ring.append(start + i, {"a": float(i), "b{x=y}": -float(i)})
    return ring


def test_numbers_come_back_by_name_and_second(tmp_path: Path) -> None:
    _filled(tmp_path, 700)
    held = rings.read(tmp_path, ["a", "b{x=y}", "none"], T + 10, T + 690)
    assert list(held["a"]) == [float(i) for i in range(10, 690)]
    assert list(held["b{x=y}"])[:2] == [-10, -11]
    assert all(map(math.isnan, held["none"]))
    assert rings.names(tmp_path) == ["a", "b{x=y}"]


def test_a_restart_goes_on_in_the_same_columns_and_leaves_a_gap(tmp_path: Path) -> None:
    _filled(tmp_path, 5).close()
    ring = Ring(tmp_path, 1, 6 * 3600)
    ring.open()
    ring.append(T + 8, {"b{x=y}": 1.0, "new": 2.0})
    held = rings.read(tmp_path, ["a", "b{x=y}", "new"], T, T + 10)
    assert list(held["a"][:5]) == [0, 1, 2, 3, 4]
    assert all(map(math.isnan, held["a"][5:]))
    assert held["b{x=y}"][8] == 1 and held["new"][8] == 2
    assert len(rings.segments(tmp_path)) == 1


def test_a_torn_tail_is_no_row(tmp_path: Path) -> None:
    _filled(tmp_path, 10).close()
    (segment,) = rings.segments(tmp_path)
    size = segment.path.stat().st_size
    with segment.path.open("r+b") as file:
        file.truncate(size - 100)
    with segment.path.with_suffix(".names").open("a") as names:
        names.write('"half a na')
    held = rings.read(tmp_path, ["a"], T, T + 12)["a"]
    assert list(held[:9]) == list(range(9)) and all(map(math.isnan, held[9:]))


def test_names_that_a_power_cut_took_begin_a_new_segment(tmp_path: Path) -> None:
    ring = Ring(tmp_path, 1, 60)
    ring.open()
    ring.append(1000, {"kept": 1.0, "lost": 2.0})
    ring.close()
    [segment] = segments(tmp_path)
    file = segment.path.with_suffix(".names")
    told = file.read_bytes()
    file.write_bytes(told.replace(b'"lost"', bytes(6)))
    again = Ring(tmp_path, 1, 60)
    again.open()
    again.append(1001, {"lost": 3.0})
    again.close()
    assert [s.names() for s in segments(tmp_path)] == [["kept"], ["lost"]]


def test_more_series_than_columns_begin_a_wider_segment(tmp_path: Path) -> None:
    ring = _filled(tmp_path, 3)
    many = {f"s{i}": float(i) for i in range(600)}
    ring.append(T + 3, many | {"a": 9.0})
    assert [s.columns for s in rings.segments(tmp_path)] == [256, 2048]
    held = rings.read(tmp_path, ["a", "s599"], T, T + 4)
    assert list(held["a"]) == [0, 1, 2, 9] and held["s599"][3] == 599
    assert ring.dropped == 0


def test_series_beyond_the_bound_are_counted_not_kept(tmp_path: Path) -> None:
    ring = Ring(tmp_path, 1, 3600)
    ring.open()
    ring.append(T, {f"s{i}": 1.0 for i in range(rings.COLUMNS_MAX + 5)})
    assert ring.dropped == 5


def test_the_ring_keeps_what_it_should_and_no_more(tmp_path: Path) -> None:
    ring = Ring(tmp_path, 60, 7200)
    ring.open()
    for hour in range(0, 60 * 24 * 40, 60):
        ring.append(T + hour * 60, {"a": float(hour)})
    kept = rings.segments(tmp_path)
    now = (T + 60 * 24 * 40 * 60) // 60
    assert kept[0].first <= now - 7200 and sum(s.rows for s in kept) <= 7200 + 3 * rings.ROWS


def test_a_clock_set_back_begins_anew_and_the_later_word_holds(tmp_path: Path) -> None:
    ring = _filled(tmp_path, 20)
    ring.append(T - 100, {"a": 5.0})
    ring.append(T + 4, {"a": 500.0})
    held = rings.read(tmp_path, ["a"], T - 100, T + 20)["a"]
    assert held[0] == 5 and held[104] == 500 and held[105] == 5


def test_folding_leaves_out_what_is_not_there() -> None:
    nan = float("nan")
    values = rings.array("f", [1, 3, nan, nan, nan, 7])
    means = rings.fold(values, 2)
    assert means[0] == 2 and math.isnan(means[1]) and means[2] == 7
    assert rings.fold(values, 3, "max")[0] == 3
