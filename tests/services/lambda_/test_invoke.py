"""Invoking: now, later, only checked; logs, limits, retries."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import INIT_FAILURE, Kept, Throttled
from pileus.services.call import HttpResponse
from pileus.state import keys
from tests.services.lambda_.conftest import SILENT_ROLE, Cloud, opened, zipped


def header(answer: HttpResponse, name: str) -> str | None:
    return next((v for k, v in answer.headers if k.lower() == name.lower()), None)


async def until(condition: Any, seconds: float = 60) -> None:
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def test_answer_error_and_tail_over_http(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        answer = await cloud.http_invoke("f", b'{"a":1}', log_type="Tail")
        assert answer.status == 200 and answer.body == b'{"a":1}'
        assert header(answer, "X-Amz-Executed-Version") == "$LATEST"
        assert header(answer, "X-Amz-Function-Error") is None
        tail = base64.b64decode(header(answer, "X-Amz-Log-Result") or "")
        assert tail.startswith(b"START RequestId: req-1\nhello\n")
        cloud.runtime.respond = lambda spec, payload: (b'{"errorMessage":"x"}', "Unhandled")
        failed = await cloud.http_invoke("f")
        assert failed.status == 200
        assert header(failed, "X-Amz-Function-Error") == "Unhandled"
        dry = await cloud.http_invoke("f", invocation_type="DryRun")
        assert dry.status == 204 and len(cloud.runtime.invoked) == 2
        with pytest.raises(AwsError) as caught:
            await cloud.http_invoke("f", b"{not json")
        assert caught.value.code == "InvalidRequestContentException"
        with pytest.raises(AwsError) as caught:
            await cloud.http_invoke("f", b'"' + b"x" * 6 * 1024 * 1024 + b'"')
        assert (caught.value.code, caught.value.status) == ("RequestTooLargeException", 413)
        with pytest.raises(AwsError, match="Function not found"):
            await cloud.http_invoke("none")

    run(body)


def test_throttled_is_429_with_its_reason(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()

        def throttle(spec: Any, payload: bytes) -> Any:
            raise Throttled("ReservedFunctionConcurrentInvocationLimitExceeded")

        cloud.runtime.respond = throttle
        with pytest.raises(AwsError) as caught:
            await cloud("Invoke", FunctionName="f")
        assert caught.value.status == 429
        assert caught.value.fields["Reason"].startswith("ReservedFunction")

    run(body)


def test_a_change_reaches_the_next_invocation(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        await cloud("Invoke", FunctionName="f")
        await cloud("Invoke", FunctionName="f")
        first, second = (spec for spec, _, _ in cloud.runtime.invoked)
        assert first is second  # the runtime keeps a spec by identity
        await cloud.made("other")
        await cloud("Invoke", FunctionName="f")
        assert cloud.runtime.invoked[-1][0] is first  # another function's change does not count
        await cloud("UpdateFunctionConfiguration", FunctionName="f", MemorySize=512)
        await cloud("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=7)
        await cloud("Invoke", FunctionName="f")
        third = cloud.runtime.invoked[-1][0]
        assert third.memory_mb == 512 and third.concurrency_max == 7 and third.reserved
        with pytest.raises(AwsError, match="below its minimum"):
            await cloud("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=95)

    run(body)


def test_credentials_are_shared_and_renewed(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        await asyncio.gather(*(cloud("Invoke", FunctionName="f") for _ in range(10)))
        assert cloud.minter.minted == 1
        await cloud.clock.advance(41 * 60)
        await cloud("Invoke", FunctionName="f")
        assert cloud.minter.minted == 2
        assert cloud.runtime.invoked[-1][0].credentials.access_key_id == "ASIA2"

    run(body)


def test_lines_reach_the_log_unless_the_role_may_not(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        await cloud.made("quiet", Role=SILENT_ROLE)
        await cloud("Invoke", FunctionName="f")
        await cloud("Invoke", FunctionName="quiet")

        async def messages() -> list[str]:
            try:
                found = await cloud.logs("FilterLogEvents", logGroupName="/aws/lambda/f")
            except AwsError:
                return []
            return [e["message"] for e in found["events"]]

        for _ in range(1500):
            if len(await messages()) == 3:
                break
            await asyncio.sleep(0.02)
        lines = await messages()
        assert lines[0].startswith("START RequestId: ") and lines[1] == "hello\n"
        assert lines[2].startswith("REPORT RequestId: ")
        groups = await cloud.logs("DescribeLogGroups")
        assert [g["logGroupName"] for g in groups["logGroups"]] == ["/aws/lambda/f"]

    run(body)


def test_an_event_runs_and_leaves_the_queue(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        big = json.dumps("x" * 300_000)
        assert (await cloud.http_invoke("f", b"1", invocation_type="Event")).status == 202
        answer = await cloud("Invoke", FunctionName="f", InvocationType="Event", Payload=big)
        assert answer["StatusCode"] == 202
        middle = json.dumps("y" * 50_000)
        await cloud("Invoke", FunctionName="f", InvocationType="Event", Payload=middle)
        await until(lambda: len(cloud.runtime.invoked) == 3)
        payloads = {p for _, p, _ in cloud.runtime.invoked}
        assert payloads == {b"1", big.encode(), middle.encode()}
        await until(lambda: not cloud.store.partition("hubqueue", "lambda.events"))
        digest = await cloud.blobs.put(big.encode())
        await until(lambda: not cloud.store.partition("blobrefs", digest))
        prefix = keys.table_prefix("lambdaevents")
        assert cloud.store.range(prefix, keys.after_prefix(prefix)) == []

    run(body)


def test_a_failing_event_is_tried_three_times_then_told(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made(DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:123456789012:dlq"})
        target = "arn:aws:sqs:us-east-1:123456789012:failed"
        await cloud(
            "PutFunctionEventInvokeConfig", FunctionName="f",
            DestinationConfig={"OnFailure": {"Destination": target}},
        )  # fmt: skip
        cloud.runtime.respond = lambda spec, payload: (b'{"errorMessage":"no"}', "Unhandled")
        await cloud("Invoke", FunctionName="f", InvocationType="Event", Payload=b'{"n":1}')
        await until(lambda: len(cloud.runtime.invoked) == 1)
        await cloud.clock.advance(58)
        await asyncio.sleep(0.05)
        assert len(cloud.runtime.invoked) == 1
        for attempts, seconds in ((2, 4), (3, 125)):
            for _ in range(seconds):
                await cloud.clock.advance(1)
                await asyncio.sleep(0.002)
            await until(lambda n=attempts: len(cloud.runtime.invoked) == n)
        await until(lambda: len(cloud.sent) == 2)
        record = json.loads(cloud.sent[0][2]["MessageBody"])
        assert record["requestContext"]["condition"] == "RetriesExhausted"
        assert record["requestContext"]["approximateInvokeCount"] == 3
        assert record["requestPayload"] == {"n": 1}
        assert record["responseContext"]["functionError"] == "Unhandled"
        assert cloud.sent[1][2]["MessageBody"] == '{"n":1}'
        await until(lambda: not cloud.store.partition("hubqueue", "lambda.events"))

    run(body)


def test_what_cannot_be_told_is_kept(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        await cloud(
            "PutFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=0,
            DestinationConfig={"OnFailure": {"Destination": "arn:aws:sns:us-east-1:1:t"}},
        )  # fmt: skip
        cloud.runtime.respond = lambda spec, payload: (b"{}", "Unhandled")
        await cloud("Invoke", FunctionName="f", InvocationType="Event", Payload=b"{}")
        dead = lambda: cloud.store.partition("lambdadead", "123456789012/us-east-1")  # noqa: E731
        await until(dead)
        letter = json.loads(dead()[0].value)
        assert letter["payload"] == "{}" and "Publish is not built" in letter["undelivered"]

    run(body)


def test_an_acknowledged_event_survives_the_process(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, background=False) as first:  # takes events, works on none
            await first.made()
            await first("Invoke", FunctionName="f", InvocationType="Event", Payload=b'{"k":1}')
            assert first.runtime.invoked == []
        second = Cloud(tmp_path)
        await second.open()
        await until(lambda: len(second.runtime.invoked) == 1)
        assert second.runtime.invoked[0][1] == b'{"k":1}'
        await second.close()

    asyncio.run(body())


def test_provisioned_workers_follow_the_alias(run: Any) -> None:
    async def body(cloud: Any) -> None:
        made = await cloud.made(Publish=True)
        arn = made["FunctionArn"].removesuffix(":1")
        with pytest.raises(AwsError, match="an alias or a published version"):
            await cloud("GetProvisionedConcurrencyConfig", FunctionName="f", Qualifier="$LATEST")
        await cloud("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
        put = await cloud(
            "PutProvisionedConcurrencyConfig", FunctionName="f", Qualifier="live",
            ProvisionedConcurrentExecutions=2,
        )  # fmt: skip
        assert put["Status"] == "IN_PROGRESS"
        told = cloud.runtime.provisioned
        await until(lambda: told == {f"{arn}:1": 2})
        await cloud("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        await cloud("PublishVersion", FunctionName="f")
        await cloud("UpdateAlias", FunctionName="f", Name="live", FunctionVersion="2")
        await until(lambda: told == {f"{arn}:1": 0, f"{arn}:2": 2})
        await cloud("DeleteProvisionedConcurrencyConfig", FunctionName="f", Qualifier="live")
        await until(lambda: told == {f"{arn}:1": 0, f"{arn}:2": 0})

    run(body)


def test_what_there_is_of_provisioned_workers_is_told(run: Any) -> None:
    async def body(cloud: Any) -> None:
        arn = (await cloud.made(Publish=True))["FunctionArn"] + ":1"
        wish = {"FunctionName": "f", "Qualifier": "1"}

        async def told() -> list[Any]:
            config = await cloud("GetProvisionedConcurrencyConfig", **wish)
            (item,) = (await cloud("ListProvisionedConcurrencyConfigs", FunctionName="f"))[
                "ProvisionedConcurrencyConfigs"
            ]
            assert item == {"FunctionArn": arn, **config}
            names = ("RequestedProvisioned", "AllocatedProvisioned", "AvailableProvisioned")
            counts = [config[f"{name}ConcurrentExecutions"] for name in names]
            return [*counts, config["Status"], config.get("StatusReason")]

        def there(*kept: Any) -> None:
            cloud.runtime.keeps[arn] = Kept(*kept)

        put = await cloud(
            "PutProvisionedConcurrencyConfig", **wish, ProvisionedConcurrentExecutions=3
        )
        assert put["Status"] == "IN_PROGRESS"
        assert await told() == [3, 0, 0, "IN_PROGRESS", None]
        there(2, 1)
        assert await told() == [3, 2, 1, "IN_PROGRESS", None]
        there(3, 3)
        assert await told() == [3, 3, 3, "READY", None]
        cloud.runtime.away = True
        assert await told() == [3, 0, 0, "IN_PROGRESS", None]
        cloud.runtime.away = False
        there(1, 1, INIT_FAILURE)
        assert await told() == [3, 1, 1, "FAILED", INIT_FAILURE]
        await cloud("DeleteProvisionedConcurrencyConfig", **wish)

    run(body)


def test_code_of_provisioned_workers_is_brought_to_this_machine(run: Any) -> None:
    """Nobody need have called it here; what cannot be brought keeps no other waiting."""

    async def body(cloud: Any) -> None:
        code = {"ZipFile": zipped(app__py="def handler(e, c): return 1")}
        made = await cloud.made("far", Publish=True, Code=code)
        far = made["FunctionArn"] + ":1"
        near = (await cloud.made("near", Publish=True))["FunctionArn"] + ":1"
        os.unlink(cloud.blobs.path(base64.b64decode(made["CodeSha256"]).hex()))

        async def cut_off(digest: str) -> None:
            raise Unavailable("no node that has it answers")

        brought: list[str] = []

        async def bring(digest: str) -> None:
            assert far not in cloud.runtime.provisioned
            brought.append(digest)

        cloud.blobs.fetch = cut_off
        wanted = {"Qualifier": "1", "ProvisionedConcurrentExecutions": 1}
        for name in ("far", "near"):
            await cloud("PutProvisionedConcurrencyConfig", FunctionName=name, **wanted)
        await until(lambda: cloud.runtime.provisioned == {near: 1})
        cloud.blobs.fetch = bring
        await cloud.clock.advance(61)
        await until(lambda: cloud.runtime.provisioned == {near: 1, far: 1})
        assert len(brought) == 1

    run(body)
