"""Which valid request a seed starts from, and how it is changed: ``generate(seed, …)``."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import cbor2
import orjson

from pileus.wire.names import SERVICES
from tests.fuzz import buckets, documents, doors, mutate, tables
from tests.fuzz.known import Known, Things
from tests.fuzz.sent import Key, Sent, visible
from tests.wire.test_codecs import Maker, operations, request_of

MODELLED = ("iam", "sts", "cloudformation", "lambda", "apigatewayv2", "cloudfront", "logs", "kms",
            "ssm", "s3control", "dynamodb", "dynamodbstreams", "s3", "cloudwatch")  # fmt: skip
# They start machinery that is not there in this process.
LEFT_OUT = frozenset({"Invoke", "InvokeAsync", "InvokeWithResponseStream", "StartLiveTail"})


@dataclass(frozen=True)
class Corpus:
    """The name of the round's table and bucket, the caller's key, the operations there are."""

    name: str
    key: Key
    built: dict[str, frozenset[str]]
    there: Things


def generate(seed: int, corpus: Corpus) -> Sent:
    """The same request for the same seed, signatures apart."""
    rng = random.Random(seed)
    group = rng.choice(GROUPS)
    sent = group(rng, corpus)
    if rng.random() < (0.8 if group in (_expression, _known) else 0.1):
        return sent
    where = rng.random()
    if where < 0.7:
        _in_shape(sent, rng)
    elif where < 0.85:
        sent.body = mutate.in_bytes(sent.body, rng)
    elif where < 0.93 and sent.headers:
        sent.headers = headers_of(mutate.in_pairs(list(sent.headers.items()), rng))
    else:
        _in_address(sent, rng)
    if rng.random() < 0.12 or (
        sent.auth in ("chunked", "trailer", "presigned") and rng.random() < 0.7
    ):
        sent.after = rng.randrange(1, 2**31)
    elif rng.random() < 0.04:
        sent.auth = "none"
    return sent


def headers_of(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """What of ``pairs`` a server could be handed: tokens in lower case, values on one line."""
    made = {}
    for name, value in pairs:
        name = "".join(c for c in name.lower() if c.isascii() and (c.isalnum() or c in "-_"))
        value = "".join(c for c in value if " " <= c <= "\xff" and c != "\x7f").strip()
        if name and name not in ("content-length", "transfer-encoding"):
            made[name] = value[:4000]
    return made


def _in_shape(sent: Sent, rng: random.Random) -> None:
    """By what the body is."""
    body = sent.body
    kind = sent.headers.get("content-type", "")
    if "cbor" in kind:
        sent.body = dumped(cbor2.dumps, mutate.in_tree(cbor2.loads(body), rng))
    elif "json" in kind or body[:2] == b'{"':
        sent.body = dumped(orjson.dumps, mutate.in_tree(orjson.loads(body or b"{}"), rng))
    elif body[:1] == b"<":
        sent.body = mutate.in_markup(body.decode("utf-8", "replace"), rng).encode(
            "utf-8", "surrogatepass"
        )
    elif "x-www-form" in kind:
        pairs = mutate.in_pairs(parse_qsl(body.decode(), keep_blank_values=True), rng)
        sent.body = urlencode(pairs, errors="replace").encode()
    elif "multipart" in kind:
        sent.body = mutate.in_bytes(body, rng)
    elif sent.headers and rng.random() < 0.6:
        sent.headers = headers_of(mutate.in_pairs(list(sent.headers.items()), rng))
    elif sent.auth not in ("chunked", "trailer") or rng.random() < 0.2:
        _in_address(sent, rng)


def dumped(dumps: Callable[[Any], bytes], tree: Any) -> bytes:
    """Written out; nested deeper than any writer does where this form has not what is in it."""
    try:
        return dumps(tree)
    except Exception:
        return b'{"L":[' * 900 + b"]}" * 900


def _in_address(sent: Sent, rng: random.Random) -> None:
    if rng.random() < 0.5 and sent.query:
        pairs = [part.partition("=")[::2] for part in sent.query.split("&")]
        made = mutate.in_pairs([(n, v) for n, v in pairs], rng)
        sent.query = visible("&".join(f"{n}={v}" for n, v in made))
    else:
        sent.path = "/" + visible(mutate.in_bytes(sent.path.encode(), rng).decode("latin-1"))


# -- what a seed may start from -------------------------------------------------------------------


def _table(rng: random.Random, corpus: Corpus) -> Sent:
    operation, params = rng.choice(tables.requests(corpus.name))
    headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
    headers["content-type"] = "application/x-amz-json-1.0"
    return Sent(operation, "dynamodb", "POST", "/", "", headers, orjson.dumps(params))


def _expression(rng: random.Random, corpus: Corpus) -> Sent:
    """Only the texts are hit: expressions and statements."""
    for _ in range(99):
        sent = _table(rng, corpus)
        params = orjson.loads(sent.body)
        texts = [n for n in params if n.endswith("Expression") or n == "Statement"]
        if texts:
            name = rng.choice(texts)
            text = mutate.in_words(params[name], rng)
            params[name] = text.encode("utf-8", "replace").decode()
            sent.body = orjson.dumps(params)
            return sent
    raise AssertionError("no request has an expression")


def _modelled(rng: random.Random, corpus: Corpus, rough: bool = True) -> Sent:
    """A random request of any operation of any model, as botocore writes it."""
    from botocore.serialize import create_serializer

    name = rng.choice(MODELLED)
    service = SERVICES[name]
    built = corpus.built[name] - LEFT_OUT
    operation = rng.choice([o for o in operations(name) if o.name in built])
    serializer = create_serializer(service.protocol, include_validation=False)
    shape = operation.input_shape
    maker = Maker(rng.randrange(10**6)) if rough else Known(rng, corpus.there)
    params = maker.value(shape) if shape is not None else {}
    if rough and shape is not None and "AccountId" in shape.members and name == "s3control":
        params["AccountId"] = "000000000000"
    made = request_of(serializer.serialize_to_request(params, operation))
    made.headers.pop("host", None)
    headers = headers_of(list(made.headers.items()))
    path, query = visible(made.path), visible(made.query)
    return Sent(
        f"{name} {operation.name}", service.signing, made.method, path, query, headers, made.body
    )


def _known(rng: random.Random, corpus: Corpus) -> Sent:
    return _modelled(rng, corpus, rough=False)


def _documented(rng: random.Random, corpus: Corpus) -> Sent:
    return rng.choice(documents.requests(corpus.name))


def _of(made: Callable[[str], list[Sent]]) -> Callable[[random.Random, Corpus], Sent]:
    return lambda rng, corpus: rng.choice(made(corpus.name))


def _presigned(rng: random.Random, corpus: Corpus) -> Sent:
    return rng.choice(buckets.objects(corpus.name, "presigned"))


def _form(rng: random.Random, corpus: Corpus) -> Sent:
    return buckets.form(corpus.name, corpus.key)


GROUPS: tuple[Callable[[random.Random, Corpus], Sent], ...] = (
    *(_table, _expression, _expression, _modelled, _known, _known, _documented, _presigned, _form),
    *map(_of, (buckets.documents, buckets.objects, buckets.chunked, doors.requests)),
)
