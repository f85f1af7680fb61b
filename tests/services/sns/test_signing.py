"""Messages show whose they are: checked as the guide tells receivers to."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pileus.services.call import ANONYMOUS, HttpRequest
from pileus.services.sns import PREFIX, door, rows
from tests.beds import Run
from tests.services.sns.conftest import FUNCTION, SnsAlone, opened

NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


def certificate(sns: SnsAlone, url: str) -> x509.Certificate:
    assert urlsplit(url).path.startswith("/_sns/SimpleNotificationService-")
    answer = door(sns.parts).serve(HttpRequest("GET", urlsplit(url).path, "", {}))
    assert answer.status == 200 and isinstance(answer.body, bytes)
    return x509.load_pem_x509_certificate(answer.body)


def check(sns: SnsAlone, told: dict[str, Any]) -> None:
    """``InvalidSignature`` for what this cloud did not say."""
    names = NOTIFICATION if told["Type"] == "Notification" else CONFIRMATION
    text = "".join(f"{n}\n{told[n]}\n" for n in names if told.get(n) is not None)
    url = told.get("SigningCertURL") or told["SigningCertUrl"]
    key = certificate(sns, url).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}[told["SignatureVersion"]]
    signature = base64.b64decode(told["Signature"], validate=True)
    key.verify(signature, text.encode(), padding.PKCS1v15(), algorithm)


@pytest.mark.parametrize("version", ("1", "2"))
def test_what_is_sent_is_signed(run: Run[SnsAlone], version: str) -> None:
    async def body(sns: SnsAlone) -> None:
        attributes = {"SignatureVersion": "2"} if version == "2" else {}
        told = await sns("CreateTopic", Name="news", Attributes=attributes)
        topic = told["TopicArn"]
        await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        await sns("Subscribe", TopicArn=topic, Protocol="http", Endpoint=sns.url)
        await sns.deliver()
        asked = json.loads(sns.heard.pop()[1])
        assert asked["SignatureVersion"] == version
        check(sns, asked)
        await sns("ConfirmSubscription", TopicArn=topic, Token=asked["Token"])
        for subject in ({"Subject": "S"}, {}):
            await sns("Publish", TopicArn=topic, Message="zwei\nZeilen é", **subject)
        await sns.deliver()
        events = [event["Records"][0]["Sns"] for _, event, _ in sns.invoked]
        posted = [json.loads(text) for _, text in sns.heard]
        assert len(events) == len(posted) == 2
        for message in (*events, *posted):
            assert message["SignatureVersion"] == version
            check(sns, message)
            told = f"{message.get('SigningCertURL')} {message.get('UnsubscribeURL')}"
            assert message in events or told.count("http://127.0.0.1:4566/") == 2
            told = f"{message.get('SigningCertUrl')} {message.get('UnsubscribeUrl')}"
            assert message in posted or told.count("https://127.0.0.1/") == 2  # within functions
            with pytest.raises(InvalidSignature):
                check(sns, {**message, "Message": "three"})
        arns = [s["SubscriptionArn"] for s in (await sns("ListSubscriptions"))["Subscriptions"]]
        for arn in arns:
            await sns("Unsubscribe", caller=ANONYMOUS, SubscriptionArn=arn)
        await sns.deliver()
        left = json.loads(sns.heard[-1][1])
        assert left["Type"] == "UnsubscribeConfirmation" and len(sns.heard) == 3
        check(sns, left)

    run(body)


def test_a_topic_changes_its_version(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        topic = await sns.topic()
        await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
        for version in ("2", ""):
            told = {"AttributeName": "SignatureVersion", "AttributeValue": version}
            await sns("SetTopicAttributes", TopicArn=topic, **told)
            found = (await sns("GetTopicAttributes", TopicArn=topic))["Attributes"]
            assert found.get("SignatureVersion", "") == version
            await sns("Publish", TopicArn=topic, Message="m")
            await sns.deliver()
        versions = [e["Records"][0]["Sns"]["SignatureVersion"] for _, e, _ in sns.invoked]
        assert versions == ["2", "1"]

    run(body)


def test_one_key_for_the_clouds_life(tmp_path: Path) -> None:
    """It is sealed in the state: another process, or a restart, signs by the same."""

    async def body() -> None:
        urls, clock = [], None
        for _ in range(2):
            async with opened(tmp_path, clock) as sns:
                clock = sns.clock
                topic = await sns.topic()
                await sns("Subscribe", TopicArn=topic, Protocol="lambda", Endpoint=FUNCTION)
                for n in range(5):  # the first deliveries are made at once
                    await sns("Publish", TopicArn=topic, Message=str(n))
                await sns.deliver()
                told = [e["Records"][0]["Sns"] for _, e, _ in sns.invoked]
                for message in told:
                    check(sns, message)
                urls += [message["SigningCertUrl"] for message in told]
                sealed = sns.parts.store.get(rows.SIGNING_KEY)
                assert b"PRIVATE" not in sealed
        assert len(urls) == 10 and len(set(urls)) == 1

    asyncio.run(body())


def test_the_certificate_names_sns_and_outlives_the_cloud(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        signer = await sns.deliveries._signing.signer()
        found = certificate(sns, f"http://127.0.0.1:4566{signer.path}")
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["sns.amazonaws.com"]
        assert found.subject.rfc4514_string() == "CN=sns.amazonaws.com,O=Pileus"
        years = found.not_valid_after_utc.year - found.not_valid_before_utc.year
        assert years >= 99
        for method, path in (
            ("GET", f"{PREFIX}SimpleNotificationService-0.pem"),
            ("PUT", signer.path),
        ):
            assert door(sns.parts).serve(HttpRequest(method, path, "", {})).status == 404

    run(body)


def test_there_is_no_certificate_before_there_is_a_key(run: Run[SnsAlone]) -> None:
    async def body(sns: SnsAlone) -> None:
        empty = "SimpleNotificationService-e3b0c44298fc1c149afbf4c8996fb924.pem"
        request = HttpRequest("GET", f"{PREFIX}{empty}", "", {})
        assert door(sns.parts).serve(request).status == 404

    run(body)
