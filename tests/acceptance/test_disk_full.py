"""A full disk refuses writes and nothing else; space brings them back without a restart (S6)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.tables import keyed
from tests.acceptance.aws_cli import within
from tests.acceptance.functions import invoke, make_function, make_role
from tests.conftest import Cloud, new_cloud, pileus
from tests.soak.kill import kill_all

ONCE = Config(retries={"total_max_attempts": 1})
SIZE_MB = 160


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes, gone afterwards whatever happens."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0700", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(words, capture_output=True).returncode == 0
    if not mounted:
        if os.geteuid() == 0 and os.environ.get("CI") == "true":
            pytest.fail("a small file system cannot be mounted, though this is root")
        pytest.skip("NOT TESTED: a full disk needs root and mount(8)")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(file: Path) -> None:
    """Take every byte that is left."""
    with file.open("ab", buffering=0) as f:
        for size in (1 << 20, 4096):
            try:
                while True:
                    f.write(bytes(size))
            except OSError:
                continue


def until_refused(write: Callable[[int], Any], tries: int = 400) -> tuple[int, ClientError]:
    """Write until the disk says no: how many were acknowledged, and the refusal."""
    for n in range(tries):
        try:
            write(n)
        except ClientError as e:
            return n, e
    raise AssertionError(f"{tries} writes went onto a full disk")


def is_retryable_and_clear(error: ClientError) -> None:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert status == 503, error
    assert "no space left on the disk" in str(error)


class Stored:
    """Writes to every place, and what was acknowledged."""

    def __init__(self, cloud: Cloud, function: str) -> None:
        self.dynamodb = cloud.client("dynamodb", config=ONCE)
        self.s3 = cloud.client("s3", config=ONCE)
        self.functions = cloud.client("lambda", config=ONCE)
        self.function = function
        self.items: dict[str, str] = {}
        self.objects: dict[str, bytes] = {}

    def item(self, n: int) -> None:
        name, value = f"item-{len(self.items)}", os.urandom(20_000).hex()
        self.dynamodb.put_item(TableName="full", Item={"PK": {"S": name}, "v": {"S": value}})
        self.items[name] = value

    def small(self, n: int) -> None:
        self._object(os.urandom(60_000))

    def large(self, n: int) -> None:
        self._object(os.urandom(3_000_000))

    def _object(self, body: bytes) -> None:
        key = f"object-{len(self.objects)}"
        self.s3.put_object(Bucket="full", Key=key, Body=body)
        self.objects[key] = body

    def settings(self, n: int) -> None:
        self.functions.update_function_configuration(
            FunctionName=self.function, Description="d" * 200 + str(n)
        )

    def complete(self) -> bool:
        """Everything acknowledged is read, as it was written."""
        for name, value in self.items.items():
            key = {"PK": {"S": name}}
            got = self.dynamodb.get_item(TableName="full", Key=key, ConsistentRead=True)
            assert got["Item"]["v"]["S"] == value
        for key, body in self.objects.items():
            assert self.s3.get_object(Bucket="full", Key=key)["Body"].read() == body
        return True

    def all_writes(self) -> bool:
        try:
            self.item(0), self.small(0), self.large(0), self.settings(0)
        except ClientError:
            return False
        return True


def test_full_disk_refuses_writes_and_recovers(small_disk: Path) -> None:
    cloud = new_cloud(small_disk / "home").up()
    try:
        function = make_function(cloud, make_role(cloud), "def handler(e, c): return e")
        assert invoke(cloud, function, 1) == (1, "")
        cloud.client("dynamodb").create_table(
            TableName="full", **keyed(PK="S"),
        )  # fmt: skip
        cloud.client("s3").create_bucket(Bucket="full")
        stored = Stored(cloud, function)
        assert stored.all_writes()

        ballast = small_disk / "ballast"
        fill(ballast)
        for write in (stored.large, stored.item, stored.small, stored.settings):
            _, refused = until_refused(write)
            is_retryable_and_clear(refused)
        with pytest.raises(ClientError) as told:
            cloud.client("lambda", config=ONCE).publish_version(FunctionName=function)
        is_retryable_and_clear(told.value)
        assert stored.complete()
        assert invoke(cloud, function, 2) == (2, "")

        ballast.unlink()
        within(10, stored.all_writes)
        assert stored.complete()
        kill_all(cloud)
        cloud.up()
        again = Stored(cloud, function)
        again.items, again.objects = stored.items, stored.objects
        assert again.complete()
        done = pileus("verify", "--home", str(cloud.home))
        assert done.returncode == 0, done.stderr
    finally:
        cloud.down()
