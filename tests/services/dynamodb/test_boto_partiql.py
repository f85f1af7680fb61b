"""PartiQL through the public door, as an application does it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.tables import keyed
from tests.conftest import Cloud
from tests.waiting import wait


@pytest.fixture(scope="module")
def music(cloud: Cloud) -> Iterator[str]:
    name = f"music-{uuid.uuid4().hex[:8]}"
    client = cloud.client("dynamodb")
    client.create_table(
        TableName=name,
        **keyed(Artist="S", SongTitle="S"),
    )
    wait(client, "table_exists", TableName=name)
    yield name
    client.delete_table(TableName=name)


def as_user(cloud: Cloud, statements: list[dict[str, Any]]) -> Any:
    """A client of a user with one policy."""
    iam = cloud.client("iam")
    user = f"ql-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    policy = {"Version": "2012-10-17", "Statement": statements}
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return cloud.client(
        "dynamodb", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"]
    )


def test_the_guides_walk(cloud: Cloud, music: str) -> None:
    client = cloud.client("dynamodb")
    client.execute_statement(
        Statement=f"""INSERT INTO "{music}" VALUE {{'Artist':'Acme Band',
        'SongTitle':'PartiQL Rocks', 'Cover': ?}}""",
        Parameters=[{"B": b"\x00\x01"}],
    )
    where = "WHERE Artist='Acme Band' AND SongTitle='PartiQL Rocks'"
    updated = client.execute_statement(
        Statement=f"""UPDATE "{music}" SET AwardsWon=1 SET AwardDetail={{'Grammys':[2020, 2018]}}
        {where} RETURNING ALL NEW *"""
    )
    assert updated["Items"][0]["AwardDetail"]["M"]["Grammys"]["L"] == [{"N": "2020"}, {"N": "2018"}]
    found = client.execute_statement(Statement=f'SELECT * FROM "{music}" {where}')["Items"]
    assert found == updated["Items"] and found[0]["Cover"] == {"B": b"\x00\x01"}
    with pytest.raises(client.exceptions.DuplicateItemException):
        client.execute_statement(
            Statement=f"""INSERT INTO "{music}" VALUE {{'Artist':'Acme Band',
            'SongTitle':'PartiQL Rocks'}}"""
        )
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as caught:
        client.execute_statement(
            Statement=f'DELETE FROM "{music}" {where} AND AwardsWon > 1',
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert caught.value.response["Item"]["Cover"] == {"B": b"\x00\x01"}
    with pytest.raises(client.exceptions.TransactionCanceledException) as cancelled:
        client.execute_transaction(
            TransactStatements=[
                {"Statement": f'EXISTS(SELECT * FROM "{music}" {where} AND AwardsWon IS MISSING)'},
                {"Statement": f"""DELETE FROM "{music}" WHERE Artist='x' AND SongTitle='y'"""},
            ]
        )
    reasons = cancelled.value.response["CancellationReasons"]
    assert [r["Code"] for r in reasons] == ["ConditionalCheckFailed", "None"]
    batch = client.batch_execute_statement(
        Statements=[
            {"Statement": f'DELETE FROM "{music}" {where} RETURNING ALL OLD *'},
            {"Statement": f"""UPDATE "{music}" SET a = 1 WHERE Artist='x' AND SongTitle='y'"""},
        ]
    )
    assert batch["Responses"][0]["Item"]["Cover"] == {"B": b"\x00\x01"}
    assert batch["Responses"][1]["Error"]["Code"] == "ConditionalCheckFailed"


def test_a_policy_can_deny_full_table_scans(cloud: Cloud, music: str) -> None:
    resource = f"arn:aws:dynamodb:*:*:table/{music}"
    reader = as_user(
        cloud,
        [
            {
                "Effect": "Deny",
                "Action": ["dynamodb:PartiQLSelect"],
                "Resource": [resource],
                "Condition": {"Bool": {"dynamodb:FullTableScan": ["true"]}},
            },
            {"Effect": "Allow", "Action": ["dynamodb:PartiQLSelect"], "Resource": [resource]},
        ],
    )
    one = f"SELECT * FROM \"{music}\" WHERE Artist = 'nobody'"
    assert reader.execute_statement(Statement=one)["Items"] == []
    for text in (f'SELECT * FROM "{music}"', f"SELECT * FROM \"{music}\" WHERE SongTitle = 'x'"):
        with pytest.raises(ClientError, match="AccessDeniedException"):
            reader.execute_statement(Statement=text)
    with pytest.raises(ClientError, match="PartiQLDelete"):
        reader.execute_statement(Statement=f"DELETE FROM \"{music}\" WHERE Artist = 'nobody'")
    with pytest.raises(ClientError, match="wasn't well formed"):
        reader.execute_statement(Statement="SELECT")


def test_a_policy_can_allow_transactions_alone(cloud: Cloud, music: str) -> None:
    writer = as_user(
        cloud,
        [
            {
                "Effect": "Allow",
                "Action": ["dynamodb:PartiQL*", "dynamodb:PutItem"],
                "Resource": [f"arn:aws:dynamodb:*:*:table/{music}"],
                "Condition": {
                    "StringEquals": {
                        "dynamodb:EnclosingOperation": ["ExecuteTransaction", "TransactWriteItems"]
                    }
                },
            }
        ],
    )
    item = {"Artist": {"S": "in"}, "SongTitle": {"S": "tx"}}
    text = f"INSERT INTO \"{music}\" VALUE {{'Artist':'in','SongTitle':'one'}}"
    writer.execute_transaction(TransactStatements=[{"Statement": text}])
    writer.transact_write_items(TransactItems=[{"Put": {"TableName": music, "Item": item}}])
    with pytest.raises(ClientError, match="AccessDeniedException"):
        writer.execute_statement(Statement=text)
    with pytest.raises(ClientError, match="AccessDeniedException"):
        writer.put_item(TableName=music, Item=item)
