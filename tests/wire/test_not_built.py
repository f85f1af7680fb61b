"""Every operation of every AWS model that is not built answers an error naming it; none an empty
success (README, "What it is not")."""

from __future__ import annotations

import asyncio
from pathlib import Path

from botocore.serialize import create_serializer

from pileus.wire.models import Models
from pileus.wire.names import SERVICES
from tests.fuzz import judge
from tests.fuzz.cases import headers_of
from tests.fuzz.sent import Sent, signed, visible
from tests.fuzz.server import Server
from tests.wire.test_codecs import Maker, request_of

# Older names of operations that are built, with the same request.
SAME_REQUEST = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",  # told apart by a host of its own, s3express-control
}


def asked(service: str, name: str, models: Models) -> Sent:
    """The operation as botocore writes it, with all its model requires."""
    told = SERVICES[service]
    operation = models.service(service).operation_model(name)
    serializer = create_serializer(told.protocol, include_validation=False)
    shape = operation.input_shape
    params = Maker(1).value(shape) if shape is not None else {}
    for member, held in shape.members.items() if shape is not None else ():
        if held.serialization.get("hostLabel"):
            params[member] = "000000000000"
    r = request_of(serializer.serialize_to_request(params, operation))
    r.headers.pop("host", None)
    headers = headers_of(list(r.headers.items()))
    path, query = visible(r.path), visible(r.query)
    return Sent(name, told.signing, r.method, path, query, headers, r.body)


def test_every_operation_that_is_not_built_is_refused_by_name(tmp_path: Path) -> None:
    async def main() -> list[str]:
        server = Server(tmp_path / "home", echoes=())
        await server.start()
        models, wrong, refused = Models(), [], 0
        for service in SERVICES:
            built = server.built.get(service, frozenset())
            for name in models.service(service).operation_names:
                if name in built or SAME_REQUEST.get(name) in built:
                    continue
                sent = signed(asked(service, name, models), server.key)
                status, headers, body = await server.handed(sent, streams=False)
                refused += 1
                code = judge.code(headers.get("content-type", ""), headers, body) if body else ""
                named = f"{name} is not offered by Pileus yet".encode() in body
                if status != 501 or not code.endswith("NotImplemented") or not named:
                    wrong.append(f"{service} {name}: {status} {body[:200]!r}")
        assert not server.complaints.taken()
        await server.stop()
        assert refused > 1000
        return wrong

    wrong = asyncio.run(main())
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])
