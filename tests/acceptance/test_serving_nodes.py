"""What people and clients see of three nodes while some of them are gone (S5, C1, E3).

One cluster for the whole file: each test leaves all three nodes up and well.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from lab.distributions import forwarding, of_bucket
from lab.rig import RigNode, until
from tests.acceptance import upload
from tests.acceptance.nodes import (
    PATIENT,
    TABLE,
    Cloud,
    log_leader,
    make_table,
    put,
    rigged,
    whole,
)

PROOF = "CLUSTER_PROOF" in os.environ
ARN = "arn:aws:s3:::kept"
OBJECT = b"o" * 70_000


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with rigged(3, tmp_path_factory.mktemp("serving")) as rig:
        made = Cloud(rig)
        rig.form()
        first = rig.nodes[0]
        made.keys = first.keys()
        make_table(made.client("dynamodb", first))
        _make_site(made.client("s3", first))
        made.client("s3", first).put_object(Bucket="kept", Key="object", Body=OBJECT)
        made.page = f"/_cdn/{_distribute(made.client('cloudfront', first))}/object"
        until(lambda: whole(first), 20, "three nodes that see each other alive")
        yield made


def _make_site(s3: Any) -> None:
    s3.create_bucket(Bucket="kept")
    s3.delete_public_access_block(Bucket="kept")
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    policy = {"Version": "2012-10-17", "Statement": [everybody | {"Resource": f"{ARN}/*"}]}
    s3.put_bucket_policy(Bucket="kept", Policy=json.dumps(policy))
    index = {"IndexDocument": {"Suffix": "index.html"}}
    s3.put_bucket_website(Bucket="kept", WebsiteConfiguration=index)


def _distribute(cloudfront: Any) -> str:
    """A distribution that keeps nothing: every look at it asks the bucket."""
    config = of_bucket("kept", **forwarding(0))
    return str(cloudfront.create_distribution(DistributionConfig=config)["Distribution"]["Id"])


def fetch(url: str, timeout_s: float = 60.0, **headers: str) -> tuple[int, bytes]:
    asked = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=timeout_s) as told:
            return told.status, told.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def health(node: RigNode) -> dict[str, Any]:
    try:
        return dict(json.loads(fetch(f"{node.endpoint}/_pileus/health", 2.0)[1]))
    except OSError:
        return {"status": "none"}


def edge(node: RigNode) -> str:
    return f"http://{node.address}:8000"


class Watch:
    """Some who ``look`` again and again: what failed, how long no answer was good."""

    def __init__(self, look: Callable[[], bool], count: int = 4) -> None:
        self._look = look
        self._stop = threading.Event()
        self.good: list[float] = [time.monotonic()]
        self.failed: list[str] = []
        self.cut: list[str] = []  # answers that had begun when their process died
        self._threads = [threading.Thread(target=self._watch) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            try:
                good = self._look()
            except http.client.IncompleteRead as error:  # nobody can ask again in its place
                self.cut.append(str(error))
                continue
            except (OSError, BotoCoreError, ClientError) as error:
                self.failed.append(str(error))
                continue
            if good:
                self.good.append(time.monotonic())
            else:
                self.failed.append("another answer")

    def stop(self) -> float:
        """The longest pause, in seconds."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        times = sorted(self.good)
        return max(b - a for a, b in itertools.pairwise(times))


def viewers(cloud: Cloud, node: RigNode) -> Watch:
    """People who look at a page through the node's edge, each time on a connection of their
    own."""
    for each in cloud.rig.nodes * 4:  # the first look at a page is the slowest, in each process
        until(lambda n=each: fetch(edge(n) + cloud.page)[0] == 200, 20, "the page")
    return Watch(lambda: fetch(edge(node) + cloud.page) == (200, OBJECT))


def readers(cloud: Cloud, node: RigNode) -> Watch:
    """Eventual reads of one item at the node."""
    put(cloud.client("dynamodb", node), "kept", "x")
    dynamodb = cloud.client("dynamodb", node, PATIENT)
    return Watch(lambda: "Item" in dynamodb.get_item(TableName=TABLE, Key={"k": {"S": "kept"}}), 1)


def eventual(s3: Any) -> Any:
    """The client, content with what the node it asks has."""
    told = "before-call.s3"
    s3.meta.events.register(told, lambda params, **_: params["headers"].update(EVENTUAL))
    return s3


EVENTUAL = {"x-pileus-read": "eventual"}


def _still_reads(cloud: Cloud, node: RigNode) -> None:
    dynamodb = cloud.client("dynamodb", node, PATIENT)
    assert dynamodb.get_item(TableName=TABLE, Key={"k": {"S": "kept"}})["Item"]["v"]["S"] == "x"
    s3 = eventual(cloud.client("s3", node, PATIENT))
    assert s3.get_object(Bucket="kept", Key="object")["Body"].read() == OBJECT
    assert fetch(f"{node.endpoint}/_site/kept/object") == (200, OBJECT)


def _refuses_to_write(cloud: Cloud, node: RigNode) -> None:
    begun = time.monotonic()
    with pytest.raises(ClientError) as refused:
        put(cloud.client("dynamodb", node, PATIENT), "refused", "x")
    told = refused.value.response
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert "more than half of the nodes" in told["Error"]["Message"]
    print(f"refused after {time.monotonic() - begun:.1f} s")


def test_one_of_three_reads_on_alone_and_all_is_well_when_the_others_return(cloud: Cloud) -> None:
    first, second, third = cloud.rig.nodes
    put(cloud.client("dynamodb", first), "kept", "x")
    until(lambda: len(list((third.home / "blobs").glob("??/*"))) == 1, 15, "a copy at the third")
    for node in (first, second):
        node.kill()
    _still_reads(cloud, third)
    until(lambda: health(third)["status"] == "degraded", 15, "the third says how it is")
    _still_reads(cloud, third)
    _refuses_to_write(cloud, third)

    third.kill()  # it must also start into that
    beginning = threading.Thread(target=third.switch_on)
    beginning.start()
    until(lambda: health(third)["status"] == "degraded", 30, "the third starts alone")
    _still_reads(cloud, third)
    _refuses_to_write(cloud, third)

    cloud.rig.start([first, second])
    beginning.join()
    until(lambda: whole(third), 30, "three nodes that see each other alive")
    for node in cloud.rig.nodes:
        until(lambda n=node: health(n)["status"] == "ready", 20, f"{node.name} is ready")
        put(cloud.client("dynamodb", node), f"after-{node.name}", "x")
    assert {"kept", "after-n1", "after-n2", "after-n3"} == set(cloud.items(third))


def test_viewers_of_a_node_whose_fronts_die_are_served_by_the_others(cloud: Cloud) -> None:
    first = cloud.rig.nodes[0]
    seen = viewers(cloud, first)
    try:
        until(lambda: seen.good, 40, "viewers are served")
        before = len(seen.good)
        for part in json.loads((first.home / "run" / "parts.json").read_text()):
            if part["name"].startswith("front-"):
                os.kill(part["pid"], signal.SIGKILL)
        until(lambda: len(seen.good) > before + 10, 60, "viewers are served on")
        until(lambda: health(first)["status"] == "ready", 20, "the fronts again")
    finally:
        pause_s = seen.stop()
    print(f"fronts killed: {len(seen.good)} good answers, longest pause {pause_s:.2f} s")
    assert not seen.failed


@pytest.mark.parametrize("fault", ["kill", "freeze"] if PROOF else ["freeze"])
def test_who_asks_one_node_sees_little_of_the_loss_of_the_logs_leader(
    cloud: Cloud, fault: str
) -> None:
    nodes = {node.name: node for node in cloud.rig.nodes}
    leader = until(lambda: log_leader(cloud.rig.nodes[0]), 20, "a leader of the log")
    lost = nodes.pop(leader)
    here, there = nodes.values()
    seen, read = viewers(cloud, here), readers(cloud, here)
    try:
        time.sleep(1)
        getattr(lost, fault)()
        time.sleep(4)
        living = {edge(node) + cloud.page for node in (here, there)}
        sent = lambda: {_sent_to(f"{edge(here)}/_entry{cloud.page}") for _ in range(20)}  # noqa: E731
        until(lambda: sent() <= living, 20, "nobody is sent to the one that is gone")
    finally:
        pauses_s = seen.stop(), read.stop()
        if fault == "kill":
            cloud.rig.start([lost])
        else:
            lost.thaw()
    print(f"the log's leader, {fault}: pauses {pauses_s[0]:.2f} s (pages), {pauses_s[1]:.2f} s")
    assert not seen.failed and not read.failed
    until(lambda: whole(here), 30, "three nodes that see each other alive")


def test_an_upload_goes_on_through_another_node_when_its_first_dies(cloud: Cloud) -> None:
    """64 MiB here; ``make cluster-proof`` does 2 GiB."""
    took = upload.continued(cloud, "kept", "large", 8, upload.PART_BYTES)
    print(took)
    cloud.rig.start(cloud.rig.nodes[:1])
    until(lambda: whole(cloud.rig.nodes[1]), 30, "three nodes that see each other alive")


def _sent_to(url: str) -> str:
    """Where an entry sends whoever asks for ``url``."""
    host, _, path = url.removeprefix("http://").partition("/")
    line = http.client.HTTPConnection(host, timeout=60)
    try:
        line.request("GET", f"/{path}")
        told = line.getresponse()
        assert told.status == 307
        return told.getheader("location", "")
    finally:
        line.close()
