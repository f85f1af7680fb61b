"""Function URLs and addresses of code, through their door."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.call import HttpRequest, HttpResponse
from tests.services.lambda_.conftest import zipped


def headers(answer: HttpResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers}


async def ask(cloud: Any, url: str, method: str = "GET", body: bytes = b"", **sent: str) -> Any:
    host, _, rest = url.removeprefix("http://").partition("/")
    path, _, query = rest.partition("?")
    named = {"host": host, **{k.replace("_", "-"): v for k, v in sent.items()}}
    return await cloud.door.serve(HttpRequest(method, f"/{path}", query, named, body))


def test_a_request_becomes_an_event_and_its_answer_http(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        made = await cloud("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
        answers = {
            "statusCode": 201, "headers": {"X-A": "1"}, "cookies": ["a=1", "b=2"],
            "body": base64.b64encode(b"\x00\x01").decode(), "isBase64Encoded": True,
        }  # fmt: skip
        cloud.runtime.respond = lambda spec, payload: (json.dumps(answers).encode(), "")
        url = made["FunctionUrl"]
        answer = await ask(cloud, f"{url}a%20b?x=1&x=2&y=", "POST", b"{}", cookie="k=v; l=w",
                           content_type="application/json")  # fmt: skip
        assert answer.status == 201 and answer.body == b"\x00\x01"
        assert [v for k, v in answer.headers if k == "set-cookie"] == ["a=1", "b=2"]
        event = json.loads(cloud.runtime.invoked[0][1])
        assert event["rawPath"] == "/a b" and event["rawQueryString"] == "x=1&x=2&y="
        assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
        assert event["cookies"] == ["k=v", "l=w"] and event["body"] == "{}"
        assert event["requestContext"]["http"]["method"] == "POST"
        url_id = url.removeprefix("http://").partition(".")[0]
        again = await ask(cloud, f"http://127.0.0.1:4566/_lambda/{url_id}/p", "PUT", b"\xff")
        assert again.status == 201
        event = json.loads(cloud.runtime.invoked[1][1])
        assert event["rawPath"] == "/p"
        assert event["body"] == "/w==" and event["isBase64Encoded"] is True

    run(body)


@pytest.mark.parametrize(
    ("payload", "error", "status", "body"),
    [
        (b'"plain"', "", 200, b'"plain"'),
        (b'{"errorMessage":"x"}', "Unhandled", 502, b'{"Message":"Internal Server Error"}'),
        (b'{"statusCode":101}', "", 502, b'{"Message":"Internal Server Error"}'),
        (b'{"statusCode":200,"headers":[1]}', "", 502, b'{"Message":"Internal Server Error"}'),
        (b'{"statusCode":200,"cookies":"a"}', "", 502, b'{"Message":"Internal Server Error"}'),
        (b'{"statusCode":"x"}', "", 502, b'{"Message":"Internal Server Error"}'),
        (b'{"statusCode":200,"headers":{"a":"b\\r\\nc: d"}}', "", 502,
         b'{"Message":"Internal Server Error"}'),
    ],
)  # fmt: skip
def test_answers_of_other_shapes(
    run: Any, payload: bytes, error: str, status: int, body: bytes
) -> None:
    async def drive(cloud: Any) -> None:
        await cloud.made()
        made = await cloud("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
        cloud.runtime.respond = lambda spec, sent: (payload, error)
        answer = await ask(cloud, made["FunctionUrl"])
        assert (answer.status, answer.body) == (status, body)

    run(drive)


def test_cors_and_life_of_a_url(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        cors = {"AllowOrigins": ["https://a"], "AllowMethods": ["GET"], "MaxAge": 60}
        made = await cloud("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE", Cors=cors)
        url = made["FunctionUrl"]
        asked = await ask(cloud, url, "OPTIONS", origin="https://a")
        assert asked.status == 204 and headers(asked)["access-control-allow-methods"] == "GET"
        answer = await ask(cloud, url, origin="https://a")
        assert headers(answer)["access-control-allow-origin"] == "https://a"
        other = await ask(cloud, url, origin="https://evil")
        assert "access-control-allow-origin" not in headers(other)
        with pytest.raises(AwsError, match="FunctionUrlConfig exists"):
            await cloud("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
        assert len((await cloud("ListFunctionUrlConfigs", FunctionName="f"))[
            "FunctionUrlConfigs"]) == 1  # fmt: skip
        await cloud("DeleteFunction", FunctionName="f")
        assert (await ask(cloud, url)).status == 404

    run(body)


def test_url_access_asks_the_policy_as_everyone(run: Any) -> None:
    async def body(cloud: Any) -> None:
        await cloud.made()
        await cloud(
            "AddPermission", FunctionName="f", StatementId="all", Principal="*",
            Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE",
        )  # fmt: skip
        asked = {"FunctionName": "f", "AuthType": "NONE"}
        (wanted,) = cloud.access("InvokeFunctionUrl", **asked, Both=False)
        assert wanted.action == "lambda:InvokeFunctionUrl"
        assert wanted.context["lambda:FunctionUrlAuthType"] == "NONE"
        assert wanted.resource_policy["Statement"][0]["Principal"] == "*"
        first, second = cloud.access("InvokeFunctionUrl", **asked, Both=True)
        assert (first.action, second.action) == (wanted.action, "lambda:InvokeFunction")
        assert second.context["lambda:InvokedViaFunctionUrl"] == "true"

    run(body)


def test_code_location_is_signed_and_expires(run: Any) -> None:
    async def body(cloud: Any) -> None:
        zip_file = zipped(app__py="x = 1")
        await cloud.made(Code={"ZipFile": zip_file})
        url = (await cloud("GetFunction", FunctionName="f"))["Code"]["Location"]
        answer = await ask(cloud, url)
        assert answer.status == 200
        assert b"".join([chunk async for chunk in answer.body]) == zip_file
        assert (await ask(cloud, url[:-1] + ("0" if url[-1] != "0" else "1"))).status == 403
        digest = url.partition("/_lambda/code/")[2][:64]
        assert (await ask(cloud, url.replace(digest, "0" * 64))).status == 403
        await cloud.clock.advance(601)
        assert (await ask(cloud, url)).status == 403

    run(body)
