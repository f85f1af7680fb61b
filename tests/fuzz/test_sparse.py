"""Every operation there is, asked with nothing, with the least its model wants, with a little more:
an answer in AWS's words each time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from botocore.serialize import create_serializer

from pileus.wire.names import SERVICES
from tests.fuzz import judge
from tests.fuzz.cases import LEFT_OUT, MODELLED, headers_of
from tests.fuzz.sent import Sent, signed, visible
from tests.fuzz.server import Server
from tests.wire.test_codecs import Maker, operations, request_of

CHANCES = (0.0, 0.15, 0.3)


class Sparse(Maker):
    """Members that are not required come with a chance."""

    def __init__(self, seed: str, chance: float) -> None:
        self.random = random.Random(seed)
        self.chance = chance

    def _structure(self, shape: Any, depth: int, plain: bool) -> dict[str, Any]:
        made = {}
        for name, member in shape.members.items():
            told = member.serialization
            if told.get("eventstream"):
                continue
            if told.get("hostLabel"):
                made[name] = "000000000000"
            elif name in shape.required_members or (
                depth < 4 and self.random.random() < self.chance
            ):
                made[name] = self.value(member, depth + 1, plain or "location" in told)
        return made


def requests(service: str, built: frozenset[str]) -> list[Sent]:
    told = SERVICES[service]
    serializer = create_serializer(told.protocol, include_validation=False)
    made = []
    for operation in operations(service):
        if operation.name not in built - LEFT_OUT:
            continue
        inputs: list[dict[str, Any]] = []
        shape = operation.input_shape
        if shape is not None:
            places = {m.serialization.get("location") for m in shape.members.values()}
            inputs = [Sparse(f"{operation.name} {c}", c).value(shape) for c in CHANCES]
            if not places & {"uri", "header"} and service != "s3control":
                inputs.append({})
        for params in inputs:
            r = request_of(serializer.serialize_to_request(params, operation))
            r.headers.pop("host", None)
            headers = headers_of(list(r.headers.items()))
            named = (f"{operation.name} {sorted(params)}", told.signing, r.method)
            made.append(Sent(*named, visible(r.path), visible(r.query), headers, r.body))
    return made


def test_sparse_requests_are_answered_in_awss_words(tmp_path: Path) -> None:
    async def main() -> list[str]:
        server = Server(tmp_path / "home")
        await server.start()
        corpus = await server.prepare("sparse")
        found, asked = [], 0
        for service in MODELLED:
            for sent in requests(service, corpus.built[service]):
                asked += 1
                answer = await server.handed(signed(sent, server.key), streams=False)
                wrong = judge.wrong(sent.method, answer, False) or server.complaints.taken()
                if wrong:
                    found.append(f"{service} {sent.name}: {wrong}")
        await server.stop()
        assert asked > 900
        return found

    assert asyncio.run(main()) == []


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("cloudformation", "GetTemplate", "ValidationError"),
        ("kms", "ListRetirableGrants", "ValidationException"),
        ("kms", "ReEncrypt", "ValidationException"),
    ],
)
def test_members_asked_for_though_the_model_does_not_require_them(
    cloud: Any, service: str, operation: str, code: str
) -> None:
    from botocore import xform_name
    from botocore.config import Config
    from botocore.exceptions import ClientError

    client = cloud.client(service, config=Config(parameter_validation=False))
    given = {"DestinationKeyId": "alias/x"} if operation == "ReEncrypt" else {}
    with pytest.raises(ClientError) as caught:
        getattr(client, xform_name(operation))(**given)
    assert caught.value.response["Error"]["Code"] == code
