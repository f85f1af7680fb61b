"""The exchange by which a machine joins: who holds the token gets everything, nobody else a
byte."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from pileus.nodes import certs, entering, join, membership, places, token
from pileus.nodes.places import Files
from pileus.nodes.token import Token
from pileus.services.call import HttpRequest, HttpResponse
from pileus.state import durable
from tests.nodes.conftest import Founded, ports

Run = Callable[[Callable[[Founded], Any]], None]


def _token(founded: Founded) -> Token:
    return token.parse(entering.token_of(founded.config.home))


def _asking(founded: Founded, admitting: Token, key: bytes, first: int = 30_000) -> join.Asking:
    now_ms = founded.clock.now_ms()
    return join.ask(admitting, key, "127.0.0.1", ports(first), "1.0", now_ms)


async def _send(founded: Founded, asking: join.Asking, remote: str = "127.0.0.1") -> HttpResponse:
    headers = {join.MAC_HEADER: asking.mac}
    request = HttpRequest("POST", join.PATH, "", headers, asking.body, remote=remote)
    return await founded.door.serve(request)


def test_a_token_is_one_word_and_is_read_back(founded: Run) -> None:
    async def check(here: Founded) -> None:
        word = entering.token_of(here.config.home)
        read, host, port = token.parse_target(f"{word}@[fd00::1]:4566")
        assert (host, port) == ("fd00::1", 4566)
        assert token.parse_target(f"{word}@n1.lan")[1:] == ("n1.lan", 4566)
        assert token.parse_target(f"{word}@[fd00::1]")[1:] == ("fd00::1", 4566)
        assert read.text() == word and word.isascii() and len(word.split()) == 1
        assert read.mark == certs.mark(Files(here.config.home).authority.read_bytes())
        assert read.secret.hex() not in repr(read)

    founded(check)


@pytest.mark.parametrize("text", ["", "pileus1_", "x@y:1", "pileus1_AAAA@h:1", "pileus1_ä@h:1"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="token"):
        token.parse_target(text if "@" in text else text + "@host:1")


@pytest.mark.parametrize("where", ["", "@", "@host:", "@host:0", "@host:99999", "@:1"])
def test_a_target_without_an_address_is_refused(where: str) -> None:
    with pytest.raises(ValueError, match="TOKEN@HOST:PORT"):
        token.parse_target("pileus1_" + "A" * 75 + where)


def test_a_holder_of_the_token_gets_all_a_node_needs(founded: Run, tmp_path: Path) -> None:
    async def check(here: Founded) -> None:
        key, admitting = certs.new_key(), _token(here)
        asking = _asking(here, admitting, key)
        answer = await _send(here, asking)
        assert answer.status == 200 and isinstance(answer.body, bytes)
        told = join.open_answer(asking, answer.body)
        home = here.config.home
        assert told.root_key == (home / "root.key").read_text()
        assert told.credentials == (home / "credentials.json").read_text()
        assert told.cluster["name"] == "n2" and not told.cluster["founder"]
        assert {n["name"]: n["state"] for n in told.cluster["nodes"]} == {
            "n1": "member",
            "n2": "joining",
        }
        for secret in (told.root_key, told.authority_key, told.secrets["log_password"]):
            assert secret.encode() not in answer.body
        _signed(told.certificate, told.authority, key)
        assert [n.name for n in membership.nodes(here.store)] == ["n1", "n2"]

    founded(check)


def _signed(certificate: str, authority: str, key: bytes) -> None:
    made = x509.load_pem_x509_certificate(certificate.encode())
    issuer = x509.load_pem_x509_certificate(authority.encode()).public_key()
    assert isinstance(issuer, EllipticCurvePublicKey)
    issuer.verify(made.signature, made.tbs_certificate_bytes, ECDSA(SHA256()))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n2"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    own = x509.load_pem_x509_csr(certs.request(key)).public_key()
    assert made.public_key() == own


def test_another_secret_is_refused_and_tries_are_bounded(
    founded: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def check(here: Founded) -> None:
        caplog.set_level(logging.DEBUG)
        right = _token(here)
        wrong = dataclasses.replace(right, secret=b"w" * token.SECRET_BYTES)
        key = certs.new_key()
        other = dataclasses.replace(right, mark=bytes(token.MARK_BYTES))
        asked = [_asking(here, word, key) for word in [wrong, other] * 6]
        statuses = [(await _send(here, asking)).status for asking in asked]
        assert statuses == [403] * 10 + [429] * 2
        assert [n.name for n in membership.nodes(here.store)] == ["n1"]
        assert (await _send(here, _asking(here, right, key))).status == 429
        assert (await _send(here, _asking(here, right, key), "127.0.0.9")).status == 200
        here.clock.ahead_s = 61
        assert (await _send(here, _asking(here, right, key))).status == 200
        said = caplog.text
        assert "wrong token" in said
        assert right.secret.hex() not in said and right.text() not in said

    founded(check)


def test_a_replay_a_change_or_an_old_request_is_refused(founded: Run) -> None:
    async def check(here: Founded) -> None:
        admitting, key = _token(here), certs.new_key()
        asking = _asking(here, admitting, key)
        assert (await _send(here, asking)).status == 200
        replay = await _send(here, asking)
        assert replay.status == 403 and b"before" in _bytes(replay)
        told = json.loads(asking.body) | {"address": "10.0.0.66"}
        changed = dataclasses.replace(asking, body=json.dumps(told).encode())
        assert (await _send(here, changed)).status == 403
        old = join.ask(
            admitting, key, "127.0.0.1", ports(30_000), "1.0", here.clock.now_ms() - 700_000
        )
        assert (await _send(here, old)).status == 403

    founded(check)


def _bytes(answer: HttpResponse) -> bytes:
    assert isinstance(answer.body, bytes)
    return answer.body


def test_the_answer_is_believed_only_from_the_tokens_cluster(founded: Run) -> None:
    async def check(here: Founded) -> None:
        admitting, key = _token(here), certs.new_key()
        asking = _asking(here, admitting, key)
        body = _bytes(await _send(here, asking))
        other = dataclasses.replace(asking, mark=b"m" * 32)
        later = _asking(here, admitting, key)
        for reader, said in (
            (other, body),
            (later, body),
            (asking, body.replace(b'"sealed":"', b'"sealed":"AAAA')),
            (asking, b"{}"),
        ):
            with pytest.raises(join.WrongToken):
                join.open_answer(reader, said)
        assert join.open_answer(asking, body).cluster["name"] == "n2"

    founded(check)


def test_one_change_at_a_time_and_the_same_key_asks_again(founded: Run) -> None:
    async def check(here: Founded) -> None:
        admitting, key, other = _token(here), certs.new_key(), certs.new_key()
        assert (await _send(here, _asking(here, admitting, key))).status == 200
        second = await _send(here, _asking(here, admitting, other, 40_000))
        assert second.status == 409 and b"another change is under way" in _bytes(second)
        asking = _asking(here, admitting, key)
        again = join.open_answer(asking, _bytes(await _send(here, asking)))
        assert again.cluster["name"] == "n2"
        node = next(n for n in membership.nodes(here.store) if n.name == "n2")
        await here.change(lambda draft: membership.arrive(draft, node))
        asking = _asking(here, admitting, other, 40_000)
        third = join.open_answer(asking, _bytes(await _send(here, asking)))
        assert third.cluster["name"] == "n3"

    founded(check)


def test_names_are_never_used_again(founded: Run) -> None:
    async def check(here: Founded) -> None:
        admitting = _token(here)
        for number, first in ((2, 30_000), (3, 40_000), (4, 50_000), (5, 50_000)):
            asking = _asking(here, admitting, certs.new_key(), first)
            told = join.open_answer(asking, _bytes(await _send(here, asking)))
            assert told.cluster["name"] == f"n{number}"
            node = next(n for n in membership.nodes(here.store) if n.name == f"n{number}")
            await here.change(lambda draft, node=node: membership.arrive(draft, node))
            if number > 3:
                await here.change(lambda draft, n=node.name: membership.begin_leave(draft, n))
                await here.change(lambda draft, n=node.name: membership.end_leave(draft, n))
        states = [n.state for n in membership.nodes(here.store)]
        assert states == ["member", "member", "member", "gone", "gone"]
        await here.change(lambda draft: draft.put(durable.key("n3"), b"how far its disk is"))
        await here.change(lambda draft: membership.begin_leave(draft, "n3"))
        await here.change(lambda draft: membership.end_leave(draft, "n3"))
        assert here.store.get(durable.key("n3")) is None, "the log would be kept for it for ever"
        with pytest.raises(membership.Refused, match="fewer than 2"):
            await here.change(lambda draft: membership.begin_leave(draft, "n2"))

    founded(check)


def test_an_address_that_is_taken_or_out_of_reach_is_refused(founded: Run) -> None:
    async def check(here: Founded) -> None:
        admitting = _token(here)
        taken = await _send(here, _asking(here, admitting, certs.new_key(), 20_000))
        assert taken.status == 409 and b"n1 is at" in _bytes(taken)
        now_ms = here.clock.now_ms()
        far = join.ask(admitting, certs.new_key(), "10.0.0.5", ports(30_000), "1", now_ms)
        answer = await _send(here, far)
        assert answer.status == 400 and b"--host" in _bytes(answer)

    founded(check)


def test_a_home_keeps_what_it_was_told_for_its_owner_only(founded: Run, tmp_path: Path) -> None:
    async def check(here: Founded) -> None:
        files = Files(here.config.home)
        assert files.folder.stat().st_mode & 0o077 == 0
        for path in (*files.folder.iterdir(), files.cluster):
            assert path.stat().st_mode & 0o077 == 0, path
        assert places.load(here.config.home) == here.cluster
        secret = places.load_secrets(here.config.home)
        assert secret.join not in repr(secret) and secret.log_password not in repr(secret)

    founded(check)


def test_who_was_let_in_and_never_came_can_be_told_to_go(founded: Run) -> None:
    """His machine died: nothing waits for him, and to ask twice is to ask once."""

    async def check(here: Founded) -> None:
        admitting = _token(here)
        asking = _asking(here, admitting, certs.new_key())
        assert (await _send(here, asking)).status == 200
        other = _asking(here, admitting, certs.new_key(), 40_000)
        assert b"pileus leave n2" in _bytes(await _send(here, other))
        for _ in range(2):
            await here.change(lambda draft: membership.begin_leave(draft, "n2"))
        assert [n.state for n in membership.nodes(here.store)] == ["member", "gone"]
        with pytest.raises(membership.Refused, match="not a node of this cluster any more"):
            membership.check_stays(here.store, "n2")
        other = _asking(here, admitting, certs.new_key(), 40_000)
        told = join.open_answer(other, _bytes(await _send(here, other)))
        assert told.cluster["name"] == "n3"

    founded(check)
