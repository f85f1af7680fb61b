"""What stands before an integration: limits, tokens, functions that decide; and HTTP back ends."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.http import serve
from pileus.wire.limits import Limits
from tests.services.apigateway.conftest import FUNCTION, Gateway


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """An OpenID issuer with one RSA and one EC key."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.url = ""
        self.visits = 0

    def answer(self, request: HttpRequest) -> HttpResponse:
        self.visits += 1
        if request.path.endswith("openid-configuration"):
            return HttpResponse(200, [], json.dumps({"jwks_uri": f"{self.url}/keys"}).encode())
        n, p = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        keys = [
            {"kty": "RSA", "kid": "r", "n": _b64(n.n.to_bytes(256, "big")), "e": "AQAB"},
            {
                "kty": "EC",
                "kid": "e",
                "crv": "P-256",
                "x": _b64(p.x.to_bytes(32, "big")),
                "y": _b64(p.y.to_bytes(32, "big")),
            },
        ]
        return HttpResponse(200, [], json.dumps({"keys": keys}).encode())

    def token(self, now_s: float, algorithm: str = "RS256", **claims: Any) -> str:
        told = {"iss": self.url, "aud": "me", "exp": now_s + 60, "scope": "read", **claims}
        head = {"alg": algorithm, "kid": "e" if algorithm == "ES256" else "r"}
        signed = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(told).encode())}"
        raw = signed.encode()
        if algorithm == "ES256":
            r, s = decode_dss_signature(self.ec.sign(raw, ec.ECDSA(hashes.SHA256())))
            return f"{signed}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
        return f"{signed}.{_b64(self.rsa.sign(raw, padding.PKCS1v15(), hashes.SHA256()))}"


async def guard(g: Gateway, api: str, kind: str, scopes: list[str], **settings: Any) -> str:
    made = await g("CreateAuthorizer", ApiId=api, Name="a", **settings)
    route = (await g("GetRoutes", ApiId=api))["Items"][0]["RouteId"]
    await g(
        "UpdateRoute",
        ApiId=api,
        RouteId=route,
        AuthorizationType=kind,
        AuthorizerId=made["AuthorizerId"],
        AuthorizationScopes=scopes,
    )
    return str(made["AuthorizerId"])


def test_tokens(run: Any) -> None:
    issuer = Issuer()

    async def body(g: Gateway) -> None:
        server = await serve(issuer.answer, ("127.0.0.1", 0))
        issuer.url = f"http://localhost:{server.port}"
        api = await g.api("GET /")
        await guard(
            g,
            api,
            "JWT",
            ["read"],
            AuthorizerType="JWT",
            IdentitySource=["$request.header.Authorization"],
            JwtConfiguration={"Issuer": issuer.url, "Audience": ["me"]},
        )
        now = g.clock.now_ms() / 1000
        for algorithm in ("RS256", "ES256"):
            good = f"Bearer {issuer.token(now, algorithm)}"
            event = await g.event(api, "GET", "/", authorization=good)
            told = event["requestContext"]["authorizer"]["jwt"]
            assert told["claims"]["aud"] == "me" and told["scopes"] == ["read"]
        assert issuer.visits == 2
        forged = issuer.token(now).rsplit(".", 1)[0] + "." + _b64(b"x" * 256)
        none = _b64(json.dumps({"alg": "none"}).encode())
        unsigned = f"{none}.{forged.split('.')[1]}."
        for bad in (
            "",
            "Bearer x.y",
            forged,
            unsigned,
            issuer.token(now, exp=now - 1),
            issuer.token(now, aud="you"),
            issuer.token(now, iss="http://evil.example"),
            issuer.token(now, nbf=now + 60),
        ):
            answer = await g.http(api, "GET", "/", authorization=bad)
            assert (answer.status, answer.body) == (401, b'{"message":"Unauthorized"}')
        other = await g.http(api, "GET", "/", authorization=issuer.token(now, scope="write"))
        assert (other.status, other.body) == (403, b'{"message":"Forbidden"}')
        await server.stop()

    run(body)


def test_a_function_decides_simply(run: Any) -> None:
    async def body(g: Gateway) -> None:
        asked: list[Any] = []

        def function(event: dict[str, Any]) -> Any:
            if event.get("type") != "REQUEST":
                return {"statusCode": 200, "body": json.dumps(event["requestContext"])}
            asked.append(event)
            return {"isAuthorized": event["identitySource"] == ["ok"], "context": {"who": "me"}}

        g.function = function
        api = await g.api("GET /")
        authorizer = await guard(
            g,
            api,
            "CUSTOM",
            [],
            AuthorizerType="REQUEST",
            AuthorizerUri=FUNCTION,
            AuthorizerPayloadFormatVersion="2.0",
            EnableSimpleResponses=True,
            IdentitySource=["$request.header.X-Key"],
        )
        assert (await g.http(api, "GET", "/")).status == 401
        assert (await g.http(api, "GET", "/", x_key="no")).status == 403
        for _ in range(3):
            answer = await g.http(api, "GET", "/", x_key="ok")
            told = json.loads(bytes(answer.body))
            assert told["authorizer"] == {"lambda": {"who": "me"}}
        assert len(asked) == 2  # kept for five minutes
        source = g.dispatched[0]["context"]["aws:SourceArn"]
        assert source.endswith(f":{api}/authorizers/{authorizer}")
        await g("ResetAuthorizersCache", ApiId=api, StageName="$default")
        await g.http(api, "GET", "/", x_key="ok")
        assert len(asked) == 3

    run(body)


@pytest.mark.parametrize(("effect", "status"), [("Allow", 200), ("Deny", 403), ("", 403)])
def test_a_function_answers_a_policy(run: Any, effect: str, status: int) -> None:
    async def body(g: Gateway) -> None:
        def function(event: dict[str, Any]) -> Any:
            if event.get("type") != "REQUEST":
                return {"statusCode": 200}
            statement = {
                "Effect": effect,
                "Action": "execute-api:Invoke",
                "Resource": event["methodArn"],
            }
            return {"principalId": "p", "policyDocument": {"Statement": [statement]}}

        g.function = function
        api = await g.api("GET /")
        await guard(
            g,
            api,
            "CUSTOM",
            [],
            AuthorizerType="REQUEST",
            AuthorizerUri=FUNCTION,
            AuthorizerPayloadFormatVersion="1.0",
            AuthorizerResultTtlInSeconds=0,
        )
        assert (await g.http(api, "GET", "/")).status == status

    run(body)


def test_throttling(run: Any) -> None:
    async def body(g: Gateway) -> None:
        api = await g.api("GET /a", "GET /b")
        g.function = lambda event: {"statusCode": 200}
        g.clock.stands_s = 1000.0  # nothing is filled up but when told
        await g(
            "UpdateStage",
            ApiId=api,
            StageName="$default",
            RouteSettings={"GET /a": {"ThrottlingRateLimit": 1, "ThrottlingBurstLimit": 2}},
        )
        told = [(await g.http(api, "GET", "/a")).status for _ in range(4)]
        assert told == [200, 200, 429, 429]
        assert [(await g.http(api, "GET", "/b")).status for _ in range(4)] == [200] * 4
        g.clock.ahead_s += 1.05
        told = [(await g.http(api, "GET", "/a")).status for _ in range(2)]
        assert told == [200, 429]

    run(body)


def test_http_proxy(run: Any) -> None:
    async def body(g: Gateway) -> None:
        seen: list[HttpRequest] = []

        def back_end(request: HttpRequest) -> HttpResponse:
            seen.append(request)
            return HttpResponse(201, [("x-from", "there")], b"proxied " + request.body)

        server = await serve(back_end, ("127.0.0.1", 0))
        made = await g("CreateApi", Name="p", ProtocolType="HTTP")
        api = made["ApiId"]
        integration = await g(
            "CreateIntegration",
            ApiId=api,
            IntegrationType="HTTP_PROXY",
            IntegrationMethod="ANY",
            IntegrationUri=f"http://localhost:{server.port}/base/{{rest}}",
            RequestParameters={
                "append:header.x-who": "$request.header.user-agent",
                "overwrite:querystring.q": "fixed",
            },
        )
        await g(
            "CreateRoute",
            ApiId=api,
            RouteKey="ANY /{rest+}",
            Target=f"integrations/{integration['IntegrationId']}",
        )
        await g("CreateStage", ApiId=api, StageName="$default", AutoDeploy=True)
        answer = await g.http(api, "POST", "/a/b%20c?q=1&r=2", b"hi", user_agent="me")
        assert (answer.status, answer.body) == (201, b"proxied hi")
        assert ("x-from", "there") in answer.headers
        assert seen[0].path == "/base/a/b%20c" and seen[0].query == "r=2&q=fixed"
        assert seen[0].headers["x-who"] == "me"
        await server.stop()
        assert (await g.http(api, "POST", "/a")).status == 503

    run(body)


def test_metadata_addresses_are_out_of_reach(run: Any) -> None:
    async def body(g: Gateway) -> None:
        made = await g(
            "CreateApi", Name="m", ProtocolType="HTTP", Target="http://169.254.169.254/latest"
        )
        assert (await g.http(made["ApiId"], "GET", "/")).status == 503

    run(body)


def test_a_body_that_stops_coming_is_timed_out_and_its_connection_closed(run: Any) -> None:
    """Of whatever length: short ones are gathered before the API hears of the request."""

    async def body(g: Gateway) -> None:
        api = await g.api("POST /x")
        limits = Limits(body_idle_s=0.2)
        server = await serve(g.door.serve, ("127.0.0.1", 0), limits)
        try:
            for length in (10, 1_000_000):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                head = f"POST /_api/{api}/x HTTP/1.1\r\nHost: h\r\nContent-Length: {length}"
                writer.write(f"{head}\r\n\r\nabc".encode())
                answer = await asyncio.wait_for(reader.read(), 30)  # to its end: it is closed
                writer.close()
                assert answer.startswith(b"HTTP/1.1 408"), (length, answer)
                assert answer.endswith(b'{"message":"Request Timeout"}')
                assert answer.lower().count(b"connection: close") == 1
        finally:
            await server.stop()
        assert g.dispatched == []

    run(body)
