"""What may become a link, in Python and in Node.js, by one table of cases (K1)."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.programs import node

HERE = Path(__file__).parent
CASES = json.loads((HERE / "cases.json").read_text())
Told = dict[str, Any]


def python_answers() -> Told:
    """The same shape as ``layer.mjs`` prints."""
    spec = importlib.util.spec_from_file_location("links", HERE.parent / "layer/python/links.py")
    assert spec and spec.loader
    links = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(links)

    def tried(check: Callable[[Any], Any], given: Any) -> Told:
        try:
            return {"answer": check(given)}
        except links.Refused as refused:
            return {"refused": str(refused)}

    def groups(check: Callable[[Any], Any], table: dict[str, list[Any]]) -> Told:
        return {name: [[g, tried(check, g)] for g in given] for name, given in table.items()}

    def expiry(seconds: Any) -> Any:
        return links.check_expiry(seconds, 1000)

    expiries = groups(expiry, CASES["expiries"])
    expiries["taken"] = [expiry(given) for given, _ in CASES["expiries"]["taken"]]
    long = [tried(links.check_url, "https://example.org/" + "a" * n) for n in (2028, 2029)]
    return {
        "urls": groups(links.check_url, {"taken": CASES["taken"], **CASES["refused"]}),
        "long": long,
        "aliases": groups(links.check_alias, CASES["aliases"]),
        "expiries": expiries,
        "ids": [links.new_id() for _ in range(200)],
    }


def node_answers() -> Told:
    done = subprocess.run(
        [node(), str(HERE / "layer.mjs")],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module", params=["python", "nodejs"])
def told(request: pytest.FixtureRequest) -> Told:
    return python_answers() if request.param == "python" else node_answers()


def test_public_addresses_are_taken_as_they_are(told: Told) -> None:
    for given, got in told["urls"]["taken"]:
        assert got == {"answer": given}


@pytest.mark.parametrize("why", sorted(CASES["refused"]))
def test_other_addresses_are_refused_and_the_reason_is_told(told: Told, why: str) -> None:
    assert len(told["urls"][why]) == len(CASES["refused"][why])
    for given, got in told["urls"][why]:
        assert why in got.get("refused", "TAKEN"), (given, got)


def test_the_longest_address(told: Told) -> None:
    taken, refused = told["long"]
    assert len(taken["answer"]) == 2048
    assert "longer than 2048" in refused["refused"]


def test_aliases(told: Told) -> None:
    assert all(got == {"answer": given} for given, got in told["aliases"]["taken"])
    assert all(got == {"answer": None} for _, got in told["aliases"]["none"])
    assert all("an alias has" in got["refused"] for _, got in told["aliases"]["refused"])


def test_expiries(told: Told) -> None:
    assert told["expiries"]["taken"] == [end for _, end in CASES["expiries"]["taken"]]
    assert all(got == {"answer": None} for _, got in told["expiries"]["none"])
    assert all("expiresInSeconds is" in got["refused"] for _, got in told["expiries"]["refused"])


def test_ids_do_not_repeat_and_have_no_letters_that_look_alike(told: Told) -> None:
    assert len(set(told["ids"])) == 200
    assert {len(id_) for id_ in told["ids"]} == {7}
    assert not set("".join(told["ids"])) & set("01lOI")
