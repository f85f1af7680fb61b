"""A few of the seeds of ``make sim``: DynamoDB and S3 keep their word through crashes; and proof
that the models notice when they do not."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from pathlib import Path

import pytest

from pileus.services.dynamodb import catalog
from pileus.state import wal
from pileus.state.duplicates import Duplicates
from tests.simulation.machines import EmbeddedMachine
from tests.simulation.services import reason, run_seed
from tests.simulation.tables import Tables


@pytest.mark.parametrize("engine", ["simulated", "embedded"])
def test_random_operations_with_crashes_match_the_model(engine: str) -> None:
    crashes = 0
    for seed in range(12):
        try:
            crashes += run_seed(seed, engine).crashes
        except Exception as error:
            again = f"python -m tests.simulation.services --engine {engine} --seeds {seed}"
            pytest.fail(f"seed {seed}: {reason(error)}\nrepeat: {again}", pytrace=False)
    assert crashes >= 24


def test_rules_that_know_nothing_of_shards_work_across_them() -> None:
    for seed in range(2):
        try:
            crashes = run_seed(seed, "sharded").crashes
        except Exception as error:
            again = f"python -m tests.simulation.services --engine sharded --seeds {seed}"
            pytest.fail(f"seed {seed}: {reason(error)}\nrepeat: {again}", pytrace=False)
        assert crashes


def caught(engine: str, lies: str = "", seeds: int = 15) -> bool:
    """Whether any of the seeds notices."""
    for seed in range(seeds):
        try:
            run_seed(seed, engine, lies)
        except Exception:
            return True
    return False


def test_files_are_copied_before_the_life_that_met_a_power_cut_closes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, closed, copyfile = threading.Event(), threading.Event(), shutil.copyfile

    def copied_late(source: Path, target: Path) -> None:
        if source.name.endswith("-wal"):
            closed.wait(0.3)
        copyfile(source, target)

    async def main() -> None:
        machine = EmbeddedMachine(random.Random(1), tmp_path / "home")
        await machine.start()
        life, disk, blobs = machine.life, machine._disk, machine._file_blobs
        disk._left = 10**9
        await Tables(machine, random.Random(1), "tab").begin()
        disk.before_cut, close = cut.set, blobs.close

        def closing() -> None:
            closed.set()
            close()

        monkeypatch.setattr(blobs, "close", closing)
        monkeypatch.setattr(shutil, "copyfile", copied_late)
        cutting = threading.Thread(target=disk.cut_power)
        cutting.start()
        assert await asyncio.to_thread(cut.wait, 60)
        await machine.revive(life)
        cutting.join()
        told = await machine.call(lambda desk, id: desk.table("ListTables", id))
        assert told["TableNames"] == ["tab-0", "tab-1"]
        await machine.stop()

    asyncio.run(main())


def test_a_log_that_answers_before_its_sync_is_noticed() -> None:
    assert caught("simulated", "log")


@pytest.mark.parametrize("sync", ["wal", "blob", "directory"])
def test_a_sync_taken_out_of_the_real_engine_is_noticed(
    sync: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "WAL_PAGES", 30)
    assert caught("embedded", sync)


def test_repeats_taken_for_new_requests_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Duplicates, "get", lambda self, key: None)
    assert caught("simulated")


def test_a_table_read_from_a_stale_cache_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(self: catalog.Catalog, account: str, region: str, name: str) -> object:
        at = (account, region, name)
        if at not in self._tables:
            found = self._load(*at)
            if found is None:
                return None
            self._tables[at] = found
        return self._tables[at]

    monkeypatch.setattr(catalog.Catalog, "find", stale)
    assert caught("simulated")
