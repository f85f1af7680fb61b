"""Python functions: values, context, environment, errors, logs."""

from __future__ import annotations

import json
import re
import textwrap

from tests.runtime.harness import Functions, make_zip


def code(text: str) -> str:
    return textwrap.dedent(text)


def test_event_and_answer(rt: Functions) -> None:
    spec = rt.spec("def handler(event, context):\n    return {'got': event, 'ü': 1.5}")
    assert rt.answer(spec, {"a": [1, None, "x"]}) == {"got": {"a": [1, None, "x"]}, "ü": 1.5}


def test_second_invocation_is_warm_and_keeps_globals(rt: Functions) -> None:
    spec = rt.spec("n = []\ndef handler(e, c):\n    n.append(1)\n    return len(n)")
    first, second = rt.run(spec, request_id="r-1"), rt.run(spec, request_id="r-2")
    assert (first.payload, second.payload) == (b"1", b"2")
    assert (first.cold, second.cold) == (True, False)
    assert first.log_stream == second.log_stream
    assert re.match(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$", first.log_stream)


def test_platform_lines_and_prints(rt: Functions) -> None:
    spec = rt.spec("print('at import')\ndef handler(e, c):\n    print('one\\ntwo')\n    return 1")
    outcome = rt.run(spec, request_id="abc")
    lines = [line for _, line in outcome.log]
    assert lines[:2] == ["at import", "START RequestId: abc Version: $LATEST"]
    assert lines[2:5] == ["one", "two", "END RequestId: abc"]
    report = (
        r"REPORT RequestId: abc\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\t"
        r"Memory Size: 128 MB\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\t"
    )
    assert re.fullmatch(report, lines[5])
    assert outcome.log_tail.endswith(lines[5].encode() + b"\n")
    warm = rt.run(spec, request_id="def")
    assert "Init Duration" not in warm.log[-1][1]
    assert "at import" not in [line for _, line in warm.log]


def test_logging_and_subprocess_output(rt: Functions) -> None:
    spec = rt.spec(
        code("""
        import logging, subprocess
        def handler(e, c):
            logging.getLogger().warning("first\\nsecond")
            logging.getLogger().info("not shown")
            subprocess.run(["/bin/sh", "-c", "echo from a child"], check=True)
        """)
    )
    lines = [line for _, line in rt.run(spec, request_id="rid").log]
    assert re.fullmatch(r"\[WARNING\]\t[-\d]+T[:\d]+\.\d{3}Z\trid\tfirst\nsecond", lines[1])
    assert "from a child" in lines
    assert not any("not shown" in line for line in lines)


def test_json_log_format(rt: Functions) -> None:
    spec = rt.spec(
        "import logging\ndef handler(e, c):\n    logging.error('bad %s', 'thing')",
        log_format="JSON",
    )
    records = [json.loads(line) for _, line in rt.run(spec, request_id="rid").log]
    assert [r.get("type") for r in records] == ["platform.start", None, "platform.report"]
    assert records[1]["message"] == "bad thing" and records[1]["requestId"] == "rid"


def test_context(rt: Functions) -> None:
    spec = rt.spec(
        code("""
        def handler(e, c):
            return [c.function_name, c.function_version, c.memory_limit_in_mb, c.aws_request_id,
                    c.invoked_function_arn, c.log_group_name, c.client_context.custom,
                    c.identity.cognito_identity_id, 0 < c.get_remaining_time_in_millis() <= 30000]
        """),
        name="ctx",
        memory_mb=256,
    )
    answer = rt.answer(
        spec,
        request_id="rid",
        invoked_arn=f"{spec.arn}:live",
        client_context='{"custom": {"a": "b"}}',
        identity='{"cognitoIdentityId": "me"}',
    )
    expected = ["ctx", "$LATEST", "256", "rid", f"{spec.arn}:live", "/aws/lambda/ctx"]
    assert answer == [*expected, {"a": "b"}, "me", True]


def test_environment(rt: Functions) -> None:
    spec = rt.spec(
        "import os\ndef handler(e, c):\n    return dict(os.environ)",
        environment={"MINE": "yes", "AWS_REGION": "mars", "TZ": "Asia/Kolkata"},
    )
    env = rt.answer(spec, trace_id="Root=1-2-3")
    assert env["MINE"] == "yes" and env["TZ"] == "Asia/Kolkata"
    assert env["AWS_REGION"] == env["AWS_DEFAULT_REGION"] == "us-east-1"
    assert env["AWS_LAMBDA_FUNCTION_NAME"] == spec.name and env["_HANDLER"] == "app.handler"
    assert env["AWS_ACCESS_KEY_ID"] == "AKIATEST" and env["AWS_SESSION_TOKEN"] == "token"
    assert env["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert env["_X_AMZN_TRACE_ID"] == "Root=1-2-3"
    assert not any("PILEUS" in name for name in env)


def test_raised_error(rt: Functions) -> None:
    spec = rt.spec("def handler(e, c):\n    raise ValueError('no ' + e)")
    outcome = rt.run(spec, "luck", request_id="rid")
    error = json.loads(outcome.payload)
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no luck")
    assert error["requestId"] == "rid"
    assert error["stackTrace"] == [
        "  File \"/var/task/app.py\", line 2, in handler\n    raise ValueError('no ' + e)\n"
    ]
    text = "\n".join(line for _, line in outcome.log)
    assert "[ERROR] ValueError: no luck\nTraceback (most recent call last):" in text


def test_import_error_and_recovery_of_the_fleet(rt: Functions) -> None:
    spec = rt.spec("import nothing_like_it\ndef handler(e, c): pass")
    for _ in range(2):
        error = rt.error(spec)
        assert error["errorType"] == "Runtime.ImportModuleError"
        assert error["errorMessage"] == (
            "Unable to import module 'app': No module named 'nothing_like_it'"
        )


def test_packaging_errors(rt: Functions) -> None:
    source = "def handler(e, c): pass"
    cases = {
        "app.other": "Runtime.HandlerNotFound",
        "app": "Runtime.MalformedHandlerName",
        "missing.handler": "Runtime.ImportModuleError",
        "sys.handler": "Runtime.BuiltInModuleConflict",
    }
    for handler, kind in cases.items():
        assert rt.error(rt.spec(source, handler=handler))["errorType"] == kind
    broken = rt.error(rt.spec("def handler(e, c) pass"))
    assert broken["errorType"] == "Runtime.UserCodeSyntaxError"


def test_values_that_json_cannot_hold(rt: Functions) -> None:
    error = rt.error(rt.spec("def handler(e, c): return {1, 2}"))
    assert error["errorType"] == "Runtime.MarshalError"
    assert error["errorMessage"].startswith("Unable to marshal response: ")
    answer = rt.answer(
        rt.spec("from decimal import Decimal\ndef handler(e, c): return [Decimal('1.5')]")
    )
    assert answer == [1.5]


def test_answer_too_large(rt: Functions) -> None:
    spec = rt.spec("def handler(e, c): return 'x' * 7_000_000", memory_mb=256)
    error = rt.error(spec)
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    big = rt.spec("def handler(e, c): return len(e)", memory_mb=256)
    assert rt.answer(big, "y" * 5_900_000) == 5_900_000


def test_exits(rt: Functions) -> None:
    spec = rt.spec("import os\ndef handler(e, c): os._exit(e)")
    error = rt.error(spec, 3, request_id="rid")
    assert error == {
        "errorType": "Runtime.ExitError",
        "errorMessage": "RequestId: rid Error: Runtime exited with error: exit status 3",
    }
    assert "without providing a reason" in rt.error(spec, 0)["errorMessage"]
    crash = rt.spec("import ctypes\ndef handler(e, c): ctypes.string_at(0)")
    assert "signal: segmentation fault" in rt.error(crash)["errorMessage"]


def test_layers_and_own_packages_win(rt: Functions) -> None:
    one = make_zip(rt.scratch, {"python/lib_a.py": "V = 1", "data.txt": "old"})
    two = make_zip(rt.scratch, {"python/lib_b.py": "V = 2", "data.txt": "new"})
    spec = rt.spec(
        {
            "pkg/app.py": "import lib_a, lib_b, boto3\n"
            "def handler(e, c): return [lib_a.V, lib_b.V, open('/opt/data.txt').read(), boto3.OWN]",
            "boto3.py": "OWN = True",
        },
        handler="pkg/app.handler",
        layers=(one, two),
    )
    assert rt.answer(spec) == [1, 2, "new", True]


def test_programs_in_layers_find_python_where_aws_has_it(rt: Functions) -> None:
    """As the AWS CLI of the CDK's layer does."""
    script = "#!/var/lang/bin/python\nimport sys, boto3\nprint(boto3.__name__, sys.argv[1])\n"
    layer = make_zip(rt.scratch, {"tool/say": script})
    spec = rt.spec(
        "import subprocess\ndef handler(e, c):\n"
        "    return subprocess.check_output(['/opt/tool/say', 'it'], text=True)",
        layers=(layer,),
    )
    assert rt.answer(spec) == "boto3 it\n"


def test_boto3_is_there_and_nothing_of_ours(rt: Functions) -> None:
    spec = rt.spec(
        code("""
        import sys, boto3, importlib.util as u
        client = boto3.client("dynamodb")
        def handler(e, c):
            ours = [m for m in sys.modules if m.split(".")[0] == "pileus"]
            keys = boto3.Session().get_credentials().get_frozen_credentials()
            return [client.meta.endpoint_url, client.meta.region_name, keys.access_key, ours,
                    u.find_spec("apsw") is None]
        """)
    )
    expected = ["http://127.0.0.1:4566", "us-east-1", "AKIATEST", [], True]
    assert rt.answer(spec) == expected
