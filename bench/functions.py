"""Function invocations, warm and cold, and hits of the edge cache."""

from __future__ import annotations

import io
import json
import statistics
import time
import zipfile
from typing import Any

from bench.load import measure, row, signed
from bench.peers import Target
from lab.distributions import of_bucket
from lab.policies import TRUST, public_read

TRIVIAL = "def handler(event, context):\n    return event\n"
WITH_CLIENT = "import boto3\nc = boto3.client('dynamodb')\n" + TRIVIAL
COLD_TIMES = 15


def _zip(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("main.py", source)
    return buffer.getvalue()


def functions(target: Target, seconds: float) -> list[dict[str, Any]]:
    """Warm invocations at 1 and 16 callers; cold ones of a function that makes a boto3 client."""
    role = target.client("iam").create_role(
        RoleName="bench", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]["Arn"]
    lambda_ = target.client("lambda")
    for name, source in (("warm", TRIVIAL), ("cold", WITH_CLIENT)):
        lambda_.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=role,
            Handler="main.handler",
            Code={"ZipFile": _zip(source)},
            Timeout=30,
            MemorySize=256,
        )
    lambda_.get_waiter("function_active_v2").wait(FunctionName="cold")
    lambda_.invoke(FunctionName="warm", Payload=b"{}")
    path = "/2015-03-31/functions/warm/invocations"
    host = f"127.0.0.1:{target.port}"
    requests = [
        signed(host, "lambda", target.key, target.secret, path=path, body=b'{"a": 1}')
        for _ in range(200)
    ]
    rows = []
    for callers in (1, 16):
        measure(target.port, requests, connections=callers, seconds=1)
        r = measure(target.port, requests, connections=callers, seconds=seconds, pid=target.pid)
        name = f"Invoke, warm, {callers} caller{'s' if callers > 1 else ''}"
        print(
            f"  {name}: p50 {r.p50_ms:.2f} ms, {r.per_second:,.0f}/s, errors {r.errors}", flush=True
        )
        rows.append(
            {
                "target": target.name, "operation": name, "cpu_us": r.cpu_us,
                "per_second": r.per_second, "p50_ms": r.p50_ms, "p99_ms": r.p99_ms,
                "errors": r.errors,
            }
        )  # fmt: skip
    rows.append(_cold(target, lambda_))
    return rows


def _cold(target: Target, lambda_: Any) -> dict[str, Any]:
    """The first answer after a change of configuration, which ends every worker."""
    times = []
    for number in range(COLD_TIMES):
        lambda_.update_function_configuration(
            FunctionName="cold", Environment={"Variables": {"ROUND": str(number)}}
        )
        lambda_.get_waiter("function_updated_v2").wait(
            FunctionName="cold", WaiterConfig={"Delay": 1}
        )
        time.sleep(0.3)
        start = time.perf_counter()
        lambda_.invoke(FunctionName="cold", Payload=b"{}")["Payload"].read()
        times.append((time.perf_counter() - start) * 1000)
    p50 = statistics.median(times)
    print(f"  Invoke, cold, boto3 client: p50 {p50:.1f} ms, worst {max(times):.1f}", flush=True)
    return {
        "target": target.name, "operation": "Invoke, cold, boto3 client", "cpu_us": float("nan"),
        "per_second": 1000 / p50, "p50_ms": p50, "p99_ms": max(times), "errors": 0,
    }  # fmt: skip


def edge(target: Target, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A 10 KB object of a public bucket behind a distribution, asked of a front process
    directly."""
    s3, cloudfront = target.client("s3"), target.client("cloudfront")
    s3.create_bucket(Bucket="bench-edge")
    s3.put_object(Bucket="bench-edge", Key="page", Body=b"x" * 10_240)
    s3.delete_public_access_block(Bucket="bench-edge")
    s3.put_bucket_policy(Bucket="bench-edge", Policy=public_read("bench-edge"))
    config = of_bucket("bench-edge")
    made = cloudfront.create_distribution(DistributionConfig=config)["Distribution"]
    request = f"GET /_cdn/{made['Id']}/page HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n\r\n"
    runs = [
        measure(target.port, [request.encode()], connections=32, seconds=seconds, pid=target.pid)
        for _ in range(rounds)
    ]
    told = row(target.name, "edge hit, 10 KB", runs)
    print(f"  edge hit {told['cpu_us']:.1f} µs, {told['per_second']:,.0f}/s", flush=True)
    return [told]
