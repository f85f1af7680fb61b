"""Which route answers: AWS's order."""

from __future__ import annotations

import pytest

from pileus.errors import AwsError
from pileus.services.apigateway.routes import check_route_key
from pileus.services.apigateway.routing import Routes

KEYS = (
    "GET /pets/dog/1",
    "GET /pets/dog/{id}",
    "GET /pets/{kind}/{id}",
    "ANY /pets/dog/1",
    "GET /pets/{rest+}",
    "ANY /{rest+}",
    "POST /",
    "$default",
)


@pytest.mark.parametrize(
    ("method", "path", "key", "variables"),
    [
        ("GET", "/pets/dog/1", "GET /pets/dog/1", {}),
        ("DELETE", "/pets/dog/1", "ANY /pets/dog/1", {}),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}", {"id": "2"}),
        ("GET", "/pets/cat/3", "GET /pets/{kind}/{id}", {"kind": "cat", "id": "3"}),
        ("GET", "/pets/cat/3/x", "GET /pets/{rest+}", {"rest": "cat/3/x"}),
        ("POST", "/pets/cat/3", "ANY /{rest+}", {"rest": "pets/cat/3"}),
        ("POST", "/", "POST /", {}),
        ("GET", "/", "$default", {}),
    ],
)
def test_order(method: str, path: str, key: str, variables: dict[str, str]) -> None:
    routes = Routes()
    for each in KEYS:
        routes.add(each, each)
    assert routes.match(method, path.split("/")[1:]) == (key, variables)


def test_no_route() -> None:
    routes = Routes()
    routes.add("GET /a/{x}", "a")
    assert routes.match("GET", ["a", ""]) is None
    assert routes.match("POST", ["a", "b"]) is None
    assert routes.match("GET", ["a", "b", "c"]) is None


def test_full_match_beats_a_greedy_one_on_a_longer_literal_way() -> None:
    routes = Routes()
    routes.add("GET /a/{rest+}", "greedy")
    routes.add("GET /{x}/b", "full")
    assert routes.match("GET", ["a", "b"]) == ("full", {"x": "a"})


@pytest.mark.parametrize(
    "key", ["GET", "get /x", "GET x", "FETCH /x", "GET /{a+}/b", "GET /{a}/{a}", "GET /{", ""]
)
def test_bad_keys_are_refused(key: str) -> None:
    with pytest.raises(AwsError, match=r"route key"):
        check_route_key(key)
