"""ExecuteStatement: reads and writes of items, as the service was seen to answer."""

from __future__ import annotations

import base64
from typing import Any

from pileus.errors import AwsError
from tests.services.dynamodb.desk import Desk, at_desk, index

FAILED = "ConditionalCheckFailedException"
OVERLAP = "Overlapping conditions with range keys are not supported in where clause"
NO_KEY = "Where clause does not contain a mandatory equality on all key attributes"
TOO_MANY = "Too many decomposed read operations for a given query."


async def run(desk: Desk, text: str, *parameters: dict[str, Any], **more: Any) -> Any:
    """The Items a statement answers."""
    if parameters:
        more["Parameters"] = list(parameters)
    return (await desk.ExecuteStatement(Statement=text, **more))["Items"]


async def refused(desk: Desk, text: str, *parameters: dict[str, Any], **more: Any) -> AwsError:
    if parameters:
        more["Parameters"] = list(parameters)
    return await desk.refused("ExecuteStatement", Statement=text, **more)


async def seeded(desk: Desk) -> None:
    """Table ``t`` of strings (pk, sk): partitions o and p of three items each."""
    await desk.table("tab", "pk:S", "sk:S")
    for pk in "op":
        for sk in "123":
            await put(desk, pk, sk, n={"N": sk})


async def put(desk: Desk, pk: str, sk: str, **more: dict[str, Any]) -> None:
    await desk.PutItem(TableName="tab", Item={"pk": {"S": pk}, "sk": {"S": sk}, **more})


async def stored(desk: Desk, pk: str, sk: str = "1") -> Any:
    answer = await desk.GetItem(TableName="tab", Key={"pk": {"S": pk}, "sk": {"S": sk}})
    return answer.get("Item")


def rows(items: list[dict[str, Any]]) -> list[str]:
    return [f"{i['pk']['S']}/{i['sk']['S']}" for i in items]


def test_insert_then_read_back_by_key() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "pk:S", "sk:S")
        text = "INSERT INTO tab VALUE {'pk': ?, 'sk': '1', 'm': {'a': [1, <<'x'>>]}, 'n': 1.50}"
        assert await run(desk, text, {"S": "a"}) == []
        item = {
            "pk": {"S": "a"},
            "sk": {"S": "1"},
            "m": {"M": {"a": {"L": [{"N": "1"}, {"SS": ["x"]}]}}},
            "n": {"N": "1.5"},
        }
        assert await stored(desk, "a") == item
        assert await run(desk, "SELECT * FROM tab WHERE pk = 'a' AND sk = ?", {"S": "1"}) == [item]
        again = await refused(desk, text, {"S": "a"})
        assert (again.code, again.message) == (
            "DuplicateItemException",
            "Duplicate primary key exists in table",
        )
        missing = await refused(desk, "INSERT INTO tab VALUE {'pk': 'b'}")
        assert missing.message.endswith("Missing the key sk in the item")

    at_desk(main)


def test_columns_are_named_after_their_last_name() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "pk:S", "sk:S")
        await put(desk, "a", "1", m={"M": {"k": {"L": [{"S": "c"}]}}}, tags={"L": [{"S": "x"}]})
        text = "SELECT pk, m.k[0], tags[0], m.k, nope FROM tab WHERE pk = 'a'"
        assert await run(desk, text) == [
            {
                "pk": {"S": "a"},
                "k[0]": {"S": "c"},
                "tags[0]": {"S": "x"},
                "k": {"L": [{"S": "c"}]},
            }
        ]

    at_desk(main)


def test_conditions() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "pk:S", "sk:S")
        image = {"B": base64.b64encode(bytes(400)).decode()}
        item = {
            "s": {"S": "7834 24th Kirkland"},
            "tags": {"SS": ["a", "b"]},
            "n": {"N": "400"},
            "nul": {"NULL": True},
            "yes": {"BOOL": True},
            "image": image,
            "m": {"M": {"sub": {"S": "x"}}},
        }
        await put(desk, "a", "1", **item)
        holds = """contains(s, 'Kirkland') | CONTAINS(tags, 'a') | attribute_type(n, 'N')
            | size(image) > 300 | n != 401 | nope <> 1 | nul IS NULL | nope IS NOT NULL
            | nope IS MISSING | s IS NOT MISSING | yes IS BOOL | s IS STRING | tags IS BAG
            | attribute_exists(m.sub) | attribute_not_exists(m.nope) | NOT attribute_exists(nope)
            | (attribute_exists(nope) OR attribute_exists(s)) | attribute_exists(nope) = false
            | true = attribute_exists(n) | attribute_exists(n) <> 1 | contains(nope, 'z') = false
            | (n BETWEEN 0 AND 500) = true | (n = 5 OR s = 'x') = false
            | attribute_exists(nope) IN [true, false] | attribute_exists(n) = attribute_exists(s)
            | attribute_exists(n) = yes | n IN (1, 400) | n NOT IN [1, 2] | n NOT BETWEEN 1 AND 2
            | n BETWEEN - 2 AND +500 AND n IN [- 1, 400] | 400 = n | 399 < n | m = {'sub': 'x'}
            | tags = <<'b', 'a'>> | begins_with("s", '78') | m['sub'] = 'x'"""
        fails = """attribute_exists(n) = 1 | NOT attribute_exists(n) = true | nope IS NULL
            | (attribute_exists(n) = true) = false | attribute_exists(n) = s | nul IS NOT NULL
            | s IS BOOL | nope = 1 | NOT n = 400 | nope IN [1, 2] | nope > 0 | s > 5"""
        for verdict, conditions in ((1, holds), (0, fails)):
            for condition in conditions.split(" | "):
                text = f"SELECT pk FROM tab WHERE pk = 'a' AND sk = '1' AND {condition}"
                assert len(await run(desk, text)) == verdict, condition

    at_desk(main)


def test_keyed_reads() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        for where, found in {
            "pk = 'o'": "o/1 o/2 o/3",
            "pk = 'o' AND sk > '1'": "o/2 o/3",
            "pk = 'o' AND '1' < sk AND sk <= '2'": "o/2",
            "pk = 'o' AND sk BETWEEN '2' AND '3'": "o/2 o/3",
            "pk = 'o' AND (sk = '1' OR sk = '3')": "o/1 o/3",
            "pk = 'o' AND sk IN ['1', '2']": "o/1 o/2",
            "pk = 'o' AND (sk < '1' OR sk > '1' OR sk = '1')": "o/1 o/2 o/3",
            "pk = 'o' AND sk = '1' AND sk > '0'": "o/1",
            "pk = 'o' AND sk <> '1'": "o/2 o/3",
            "pk = 'o' AND NOT sk = '1' OR pk = 'o' AND sk = '2'": "o/2 o/3",
            "pk = 'o' OR pk = 'o' AND NOT sk = '1'": "o/1 o/2 o/3",
            "pk = 'o' AND NOT sk IN ['1', '3'] OR pk = 'o' AND sk = '2'": "o/2",
            "pk IN ['o', 'p'] AND n = 2": "o/2 p/2",
            "pk = 'p' AND sk = '1' OR pk = 'o' AND sk = '3'": "o/3 p/1",
            "pk = 'o' OR sk = '1'": "o/1 o/2 o/3 p/1",
            "pk > 'o'": "p/1 p/2 p/3",
            "pk > 1": "",
            "pk = 'o' AND pk = 'p'": "",
            "n = 1": "o/1 p/1",
        }.items():
            items = await run(desk, f"SELECT * FROM tab WHERE {where}")
            assert sorted(rows(items)) == found.split(), where

    at_desk(main)


def test_reads_that_cannot_be() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        mismatch = "Key attribute's data type should match its data type in table's schema: Key "
        many = ",".join(f"'v{i}'" for i in range(51))
        for where, message in {
            "pk IN ['o', 'o']": OVERLAP,
            "pk = 'o' OR pk = 'o'": OVERLAP,
            "pk = 'o' AND (sk > '0' OR sk < '5')": OVERLAP,
            "pk = 'o' AND (sk = '1' OR n = 2)": OVERLAP,
            "(pk = 'o' AND n = 1) OR (pk = 'o' AND n = 2)": OVERLAP,
            "pk = 'a' AND x <> '1' OR pk = 'a' AND sk = '2'": OVERLAP,
            "pk = 1 OR pk = 'o'": mismatch + "pk",
            "pk = 'o' AND sk IN ['1', 2]": mismatch + "sk",
            f"pk IN [{many}]": TOO_MANY,
            f"pk = 'o' AND sk IN [{many}]": TOO_MANY,
            f"pk IN [{','.join(many.split(',')[:26])}] AND sk IN ['1', '2']": TOO_MANY,
        }.items():
            assert (await refused(desk, f"SELECT * FROM tab WHERE {where}")).message == message
        assert await run(desk, f"SELECT pk FROM tab WHERE pk IN [{many}] OR n = 1") != []
        nobody = await refused(desk, "SELECT * FROM nobody WHERE pk = 'x'")
        assert nobody.code == "ResourceNotFoundException"
        assert nobody.message == "Requested resource not found"

    at_desk(main)


def test_order_by() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        for rest, found in {
            "pk = 'o' ORDER BY sk DESC": "o/3 o/2 o/1",
            "pk = 'o' ORDER BY sk": "o/1 o/2 o/3",
            "pk = 'o' AND sk IN ['1', '3'] ORDER BY sk DESC": "o/3 o/1",
            "pk IN ['o', 'p'] ORDER BY pk DESC, sk ASC": "p/1 p/2 p/3 o/1 o/2 o/3",
            "pk IN ['p', 'o'] ORDER BY pk, sk DESC": "o/3 o/2 o/1 p/3 p/2 p/1",
            # Observed of the service: the partition key alone turns the sort key round.
            "pk = 'o' ORDER BY pk ASC": "o/3 o/2 o/1",
        }.items():
            items = await run(desk, f"SELECT pk, sk FROM tab WHERE {rest}")
            assert rows(items) == found.split(), rest
        for rest, message in {
            "ORDER BY sk": "Must have WHERE clause in the statement when using ORDER BY clause.",
            "WHERE pk = 'o' ORDER BY n": (
                "Attribute n in ORDER BY clause must be part of the primary key"
            ),
            "WHERE pk > 'a' ORDER BY sk": (
                "Must have at least one non-optional hash key condition in WHERE clause when"
                " using ORDER BY clause."
            ),
            "WHERE pk IN ['o', 'p'] ORDER BY sk": (
                "Must have hash key in ORDER BY clause when more than one hash key condition"
                " specified in WHERE clause."
            ),
        }.items():
            assert (await refused(desk, f"SELECT * FROM tab {rest}")).message == message

    at_desk(main)


async def all_pages(desk: Desk, text: str, **more: Any) -> list[list[str]]:
    pages, token = [], None
    while True:
        extra = {"NextToken": token} if token else {}
        answer = await desk.ExecuteStatement(Statement=text, **more, **extra)
        pages.append(rows(answer["Items"]))
        token = answer.get("NextToken")
        assert (token is None) == ("LastEvaluatedKey" not in answer)
        if token is None:
            return pages


def joined(pages: list[list[str]]) -> list[str]:
    return [row for page in pages for row in page]


def test_pages() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        text = "SELECT * FROM tab WHERE pk IN ['o', 'p'] ORDER BY pk DESC"
        found = await all_pages(desk, text, Limit=2)
        assert found[:3] == [["p/3", "p/2"], ["p/1", "o/3"], ["o/2", "o/1"]]
        scanned = await all_pages(desk, "SELECT * FROM tab WHERE n = 3", Limit=1)
        assert sorted(joined(scanned)) == ["o/3", "p/3"] and len(scanned) >= 6
        for number in range(20):
            await put(desk, f"k{number}", "1")
        listed = ",".join(f"'k{n}'" for n in range(20))
        wide = await all_pages(desk, f"SELECT * FROM tab WHERE pk IN [{listed}]")
        assert len(wide[0]) == 10 and len(joined(wide)) == len(set(joined(wide))) == 20

    at_desk(main)


def test_next_tokens_belong_to_their_request() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        text = "SELECT * FROM tab WHERE pk = 'o'"
        token = (await desk.ExecuteStatement(Statement=text, Limit=1))["NextToken"]
        other = "SELECT * FROM tab WHERE pk = 'p'"
        message = (await refused(desk, other, NextToken=token)).message
        assert message == "NextToken does not match request"
        digest = base64.b64decode(token).split(b",")[0].decode()
        for forged in (
            "x",
            "e30=",
            *(
                base64.b64encode(f"{digest},{rest}]".encode()).decode()
                for rest in (
                    '9,{"pk":{"S":"o"},"sk":{"S":"1"}}',
                    '0,{"pk":{"S":"p"},"sk":{"S":"1"}}',
                    '0,{"pk":{"S":"o"}}',
                    '0,{"pk":{"N":"1"},"sk":{"S":"1"}}',
                    '0,{"pk":1,"sk":2}',
                    '"0",null',
                    "0,null",
                    "true,{}",
                )
            ),
        ):
            assert (await refused(desk, text, NextToken=forged)).message == "Invalid NextToken"

    at_desk(main)


def test_update_changes_what_is_there_and_nothing_else() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "pk:S", "sk:S")
        await put(
            desk,
            "a",
            "1",
            n={"N": "5"},
            l={"L": [{"S": "a"}, {"S": "b"}, {"S": "c"}]},
            m={"M": {"x": {"S": "old"}, "y": {"S": "keep"}}},
            ss={"SS": ["a", "b"]},
            gone={"S": "x"},
        )

        async def change(what: str, returning: str = "MODIFIED NEW") -> Any:
            where = "WHERE pk = 'a' AND sk = '1'"
            return await run(desk, f"UPDATE tab SET {what} {where} RETURNING {returning} *")

        assert await change("n=n-1") == [{"n": {"N": "4"}}]
        assert await change("n = n - - 2") == [{"n": {"N": "6"}}]
        assert await change("m.x = 'new'") == [{"m": {"M": {"x": {"S": "new"}}}}]
        assert await change("m.x = 'newer'", "MODIFIED OLD") == [{"m": {"M": {"x": {"S": "new"}}}}]
        assert await change("l[2] = 'y', l[0] = 'x'") == [{"l": {"L": [{"S": "x"}, {"S": "y"}]}}]
        assert await change("l[9] = 'z'") == []
        assert await change("l = list_append([0], l)", "MODIFIED OLD") != []
        assert await change("fresh = 1", "MODIFIED OLD") == []
        assert await change("ss = set_add(ss, <<'c'>>) SET made = SET_ADD(made, <<1>>)") == [
            {"ss": {"SS": ["a", "b", "c"]}, "made": {"NS": ["1"]}}
        ]
        assert await change("ss = set_delete(ss, <<'a', 'b', 'c'>>)") == []
        assert await change("copy = m.y REMOVE gone, made") == [{"copy": {"S": "keep"}}]
        item = await stored(desk, "a")
        assert "gone" not in item and "ss" not in item and item["l"]["L"][-1] == {"S": "z"}
        assert await change("n = 1", "ALL OLD") == [item]
        assert await run(desk, "UPDATE tab SET n = 2 WHERE pk = 'a' AND sk = '1'") == []

    at_desk(main)


def test_writes_need_the_key_and_keep_their_condition() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        update, delete = "UPDATE tab SET x = 1 WHERE ", "DELETE FROM tab WHERE "
        for where, message in {
            "pk = 'o'": NO_KEY,
            "n = 1": NO_KEY,
            "pk = 'o' OR sk = '1'": NO_KEY,
            "pk IN ['o'] AND sk = '1'": NO_KEY,
            "pk = 'o' AND sk = '1' AND pk = 'p'": (
                "Multiple conditions on same key pk. Only single item Update/Insert/Delete are"
                " supported"
            ),
        }.items():
            assert (await refused(desk, update + where)).message == message
            assert (await refused(desk, delete + where)).message == message
        assert (await refused(desk, "UPDATE tab SET x = 1")).message == NO_KEY
        key = "(pk = 'o' AND sk = '1')"
        for write in (update, delete):
            assert (await refused(desk, f"{write}{key} AND n = 9")).code == FAILED
        shown = await refused(
            desk, f"{update}{key} AND n = 9", ReturnValuesOnConditionCheckFailure="ALL_OLD"
        )
        assert shown.fields["Item"]["n"] == {"N": "1"}
        await run(desk, f"{update}{key} AND n = 1 AND pk = 'o'")
        assert (await stored(desk, "o"))["x"] == {"N": "1"}
        assert (await refused(desk, update + "pk = 'none' AND sk = '1'")).code == FAILED
        assert (
            await refused(desk, update + "pk = 'none' AND sk = '1' AND attribute_not_exists(pk)")
        ).code == FAILED
        assert await stored(desk, "none") is None
        nothing = "pk = 'none' AND sk = '1' AND n = 1 RETURNING ALL OLD *"
        assert await run(desk, delete + nothing) == []
        gone = await run(desk, f"{delete}{key} AND n = 1 RETURNING ALL OLD *")
        assert rows(gone) == ["o/1"] and await stored(desk, "o") is None

    at_desk(main)


def test_faults_of_the_item() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        for change, message in {
            "n = n + s": "The provided expression refers to an attribute that does not exist in"
            " the item",
            "l[0] = 'x'": "The document path provided in the update expression is invalid for"
            " update",
            "n = set_add(n, <<'x'>>)": "An operand in the update expression has an incorrect data"
            " type",
            "pk = 'x'": "One or more parameter values were invalid: Cannot update attribute pk."
            " This attribute is part of the key",
        }.items():
            text = f"UPDATE tab SET {change} WHERE pk = 'o' AND sk = '1'"
            assert (await refused(desk, text)).message == message
        duplicates = (
            "One or more parameter values were invalid: Input collection [a, a] contains"
            " duplicates."
        )
        # Parameters are judged before the statement is read.
        assert (await refused(desk, "UPDATE", {"SS": ["a", "a"]})).message == duplicates
        exists = "EXISTS(SELECT * FROM tab WHERE pk = 'o' AND sk = '1' AND x IS MISSING)"
        assert (await refused(desk, exists)).message == (
            "EXISTS can only be used in ExecuteTransaction write requests."
        )

    at_desk(main)


async def indexed(desk: Desk) -> None:
    await desk.table(
        "tab",
        "pk:S",
        "sk:S",
        also=("g:S", "l:S", "h:S"),
        GlobalSecondaryIndexes=[
            index("inc", "g", projection="INCLUDE", NonKeyAttributes=["proj"]),
            {
                **index("multi", "g"),
                "KeySchema": [
                    {"AttributeName": "g", "KeyType": "HASH"},
                    {"AttributeName": "h", "KeyType": "HASH"},
                ],
            },
        ],
        LocalSecondaryIndexes=[index("byl", "pk", "l", projection="KEYS_ONLY")],
    )
    for n in "124":
        await put(
            desk, "p", n, g={"S": "y"}, l={"S": "k" + n}, proj={"S": "a" + n}, non={"S": "n" + n}
        )
    await put(desk, "p", "3", non={"S": "n3"})
    await put(desk, "q", "5", g={"S": "z"}, proj={"S": "a5"}, non={"S": "n5"})


def test_indexes() -> None:
    async def main(desk: Desk) -> None:
        await indexed(desk)
        items = await run(desk, 'SELECT * FROM "tab"."inc" WHERE g = \'y\'')
        assert [sorted(i) for i in items] == [["g", "pk", "proj", "sk"]] * 3
        items = await run(desk, "SELECT * FROM tab.byl WHERE pk = 'p' ORDER BY l DESC")
        assert [i["l"]["S"] for i in items] == ["k4", "k2", "k1"] and "non" not in items[0]
        text = "SELECT non FROM tab.byl WHERE pk = 'p'"
        answer = await desk.ExecuteStatement(Statement=text, ReturnConsumedCapacity="INDEXES")
        assert [i["non"]["S"] for i in answer["Items"]] == ["n1", "n2", "n4"]
        assert answer["ConsumedCapacity"] == {
            "TableName": "tab",
            "CapacityUnits": 2.0,
            "Table": {"CapacityUnits": 1.5},
            "LocalSecondaryIndexes": {"byl": {"CapacityUnits": 0.5}},
        }
        # A scan of an index sees what the index holds: everything lacks the attribute.
        assert await run(desk, "SELECT sk FROM tab.inc WHERE non = 'n1'") == []
        assert len(await run(desk, "SELECT sk FROM tab.inc WHERE NOT non = 'n1'")) == 4
        items = await run(desk, "SELECT sk FROM tab.inc WHERE (g='z' AND proj='a5') OR (g='y')")
        assert len(items) == 4

    at_desk(main)


def test_what_indexes_refuse() -> None:
    async def main(desk: Desk) -> None:
        await indexed(desk)
        filtered = "One or more parameter values were invalid: Secondary index {} does not project"
        filtered += " one or more filter attributes: [{}]"
        for text, message in {
            "SELECT pk FROM tab.inc WHERE g = 'y' AND non = '1'": filtered.format("inc", "non"),
            "SELECT pk FROM tab.inc WHERE g = 'y' AND NOT (non = '1' OR proj = 'x')": (
                filtered.format("inc", "non")
            ),
            "SELECT pk FROM tab.inc WHERE g = 'y' AND b = '1' AND (a = '2' OR proj = '3')": (
                filtered.format("inc", "a, b")
            ),
            "SELECT pk FROM tab.inc WHERE g = 'y' AND (zz = '1' OR aa = '2' OR mm = '3')": (
                filtered.format("inc", "zz, aa, mm")
            ),
            "SELECT pk FROM tab.inc WHERE (g = 'y' OR g = 'z') AND zz = '1'": (
                filtered.format("inc", "zz")
            ),
            "SELECT pk FROM tab.byl WHERE pk = 'p' AND l > 'a' AND non IS MISSING": (
                filtered.format("byl", "non")
            ),
            "SELECT zz, aa FROM tab.inc": (
                "One or more parameter values were invalid: Global secondary index inc does not"
                " project [zz, aa]"
            ),
            "SELECT * FROM tab.nope": "The table does not have the specified index",
        }.items():
            assert (await refused(desk, text)).message == message, text
        consistent = await refused(desk, "SELECT * FROM tab.inc WHERE g='y'", ConsistentRead=True)
        assert consistent.message == (
            "Strongly consistent read is not supported on Global Secondary Indexes"
        )
        assert "multi" in (await refused(desk, "SELECT * FROM tab.multi WHERE g='y'")).message

    at_desk(main)


def test_capacity() -> None:
    async def main(desk: Desk) -> None:
        await seeded(desk)
        for text, units in {
            "SELECT * FROM tab WHERE pk = 'o'": 0.5,
            "SELECT * FROM tab WHERE pk IN ['o', 'none']": 1.0,
            "INSERT INTO tab VALUE {'pk': 'new', 'sk': '1'}": 1.0,
            "UPDATE tab SET n = 2 WHERE pk = 'o' AND sk = '1'": 1.0,
            "DELETE FROM tab WHERE pk = 'o' AND sk = '1'": 1.0,
        }.items():
            answer = await desk.ExecuteStatement(Statement=text, ReturnConsumedCapacity="TOTAL")
            assert answer["ConsumedCapacity"] == {"TableName": "tab", "CapacityUnits": units}, text
        text = "SELECT * FROM tab WHERE pk = 'o'"
        answer = await desk.ExecuteStatement(
            Statement=text, ReturnConsumedCapacity="TOTAL", ConsistentRead=True
        )
        assert answer["ConsumedCapacity"]["CapacityUnits"] == 1.0

    at_desk(main)
