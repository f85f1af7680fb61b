"""Statements as text: what parses, and the service's words for what does not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.errors import AwsError
from pileus.services.dynamodb.partiql.literals import value_of
from pileus.services.dynamodb.partiql.parser import parse
from pileus.services.dynamodb.partiql.select import Selection
from pileus.services.dynamodb.partiql.syntax import Insert, Select, Struct, Update
from pileus.services.dynamodb.partiql.writes import Draft

ENVELOPE = "Statement wasn't well formed, can't be processed: "
LEFTOVER = "Unexpected token after expression"
TERM = "Unexpected term"
SIMPLE = "Expected identifier for simple path"


def refusal(text: str, *parameters: dict[str, Any]) -> str:
    """The message of a statement that is refused before its table is looked at."""
    with pytest.raises(AwsError) as caught:
        understand(text, list(parameters))
    assert caught.value.code == "ValidationException"
    return caught.value.message


def understand(text: str, parameters: list[dict[str, Any]]) -> None:
    statement = parse(text)
    (Selection if statement.reads else Draft)(statement, parameters)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ('SELECT * FROM "t" WHERE pk = 1 foo', LEFTOVER),
        ('SELECT * FROM "t" WHERE pk = 1 e5', LEFTOVER),
        ("INSERT INTO t VALUE {'pk': 1} foo", LEFTOVER),
        ("UPDATE t SET a = 9 WHERE pk = 2 foo", LEFTOVER),
        ("DELETE FROM t WHERE pk = 3 foo", LEFTOVER),
        ("SELECT * FROM t WHERE pk = 1)", LEFTOVER),
        ("DELETE FROM t WHERE pk = 4 ORDER BY pk", LEFTOVER),
        ("SELECT * FROM t ORDER BY pk WHERE pk = 1", LEFTOVER),
        ("INSERT INTO t x VALUE {'pk': 'x'}", LEFTOVER),
        ("FROM t SET c = 1 WHERE pk = 'x'", LEFTOVER),
        ("SELECT * FROM t; SELECT * FROM t", LEFTOVER),
        ("SELECTT * FROMM t", LEFTOVER),
        ("SELECT * FROM t WHERE", TERM),
        ("SELECT * FROM t WHERE;", TERM),
        ("SELECT * FROM t WHERE NOT", TERM),
        ("SELECT * FROM t WHERE (", TERM),
        ("DELETE FROM t WHERE", TERM),
        ("UPDATE t SET a = 1 WHERE", TERM),
        ("SELECT * FROM", TERM),
        (
            "SELECT * FROM t WHERE pk = 'p' AND",
            "Missing right-hand side expression of infix operator",
        ),
        (
            "SELECT * FROM t WHERE pk = 'p' OR",
            "Missing right-hand side expression of infix operator",
        ),
        ("SELECT * FROM t WHERE ORDER BY pk", "Unexpected keyword"),
        ("SELECT * FROM t WHERE pad = 'none'", "Unexpected keyword"),
        ("INSERT INTO t (key, a) VALUES (?, ?)", "Unexpected keyword"),
        ("SELECT * FROM t WHERE x IS FOO", "Expected type name"),
        ("SELECT * FROM t WHERE IS NULL", "Unexpected operator"),
        ("SELECT * FROM t WHERE pk = LIKE", "Unexpected operator"),
        ("DELETE FROM", SIMPLE),
        ("DELETE FROM;", SIMPLE),
        ("DELETE FROM WHERE pk = 'a'", SIMPLE),
        ("SLECT * FROM t WHERE pk = 'a'", "Expected data manipulation"),
        ("UPDATE Payment-main SET a = 1", "Expected data manipulation"),
        ("SELECT * FROM t WHERE attribute_exists(m.inner)", "Invalid path dot component"),
        ("SELECT * FROM t WHERE pk = 1e2147483648", ""),
        ("SELECT * FROM t WHERE pk = 1e99999999999", ""),
        ("SELECT * FROM t WHERE pk = 1.5e-2147483647", ""),
        ("SELECT * FROM t WHERE pk = 1 # note", ""),
        ("SELECT * FROM t WHERE pk = 1 /* note", ""),
        ('SELECT * FROM "t', ""),
        ("SELECT * FROM t WHERE pk = 'a", ""),
    ],
)
def test_what_is_not_well_formed(text: str, detail: str) -> None:
    assert refusal(text) == ENVELOPE + detail


OVERFLOW = (
    "Number overflow. Attempting to store a number with magnitude larger than supported range"
)
UNDERFLOW = (
    "Number underflow. Attempting to store a number with magnitude smaller than supported range"
)
DIGITS = "Attempting to store more than 38 significant digits in a Number"
DUPLICATES = "One or more parameter values were invalid: Input collection "
WRONG = "Incorrect operand type for operator or function; operator or function: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x IS INT4", "Unsupported operation: IsType"),
        ("x IS DOUBLE PRECISION", "Unsupported operation: IsType"),
        ("SELECT * FROM t x WHERE pk = 'x'", "Aliasing is not supported"),
        ("SELECT * FROM t AS x WHERE pk = 'x'", "Aliasing is not supported"),
        ("UPDATE t x SET a = 3 WHERE pk = 'x'", "Aliasing is not supported"),
        ("DELETE FROM t x WHERE pk = 'x'", "Aliasing is not supported"),
        ("SELECT * FROM t WHERE pk = 1e126", f"{OVERFLOW} under root"),
        ("SELECT * FROM t WHERE pk = 1e-131", f"{UNDERFLOW} under root"),
        (f"SELECT * FROM t WHERE pk = {'123456789' * 4}123", f"{DIGITS} under root"),
        ("UPDATE t SET a = 1e-131 WHERE pk = 5", f"{UNDERFLOW} under root"),
        ("INSERT INTO t VALUE {'pk': 6, 'm': {'x': 1e126}}", f"{OVERFLOW} under root.x"),
        ("INSERT INTO t VALUE {'pk': 7, 'l': [1, 1e126]}", f"{OVERFLOW} under root[1]"),
        ('SELECT * FROM "t"."" WHERE pk = \'p\'', "Path component cannot be an empty string"),
        ("SELECT * FROM \"\" WHERE pk = 'p'", "Path component cannot be an empty string"),
        ("SELECT * FROM t.i.x", "A path may contain at most 2 components in the FROM clause"),
        ("SELECT * FROM t, u", "Only select from a single table or index is supported."),
        ("INSERT INTO t.i VALUE {'pk': 1}", "FROM clause may only contain a single table name"),
        ("UPDATE t.i SET a = 1 WHERE pk = 1", "This operation is not supported on an index"),
        ("DELETE FROM t.i WHERE pk = 1", "This operation is not supported on an index"),
        ("SELECT COUNT(*) FROM t", "Unexpected path component at 1:8:5"),
        ("SELECT attribute_exists(a) FROM t", "Unexpected path component at 1:8:16"),
        ("SELECT a, b.a FROM t", "Duplicate identifiers in select clause: a"),
        (
            "SELECT l[-1] FROM t",
            "List index is not within the allowable range; index: [-1] at 1:11:1",
        ),
        (
            "SELECT l[2147483648] FROM t",
            "List index is not within the allowable range; index: [2147483648] at 1:10:10",
        ),
        ("SELECT * FROM t WHERE EXISTS(ss)", "Unrecognized function: exists at 1:23:6"),
        (
            "SELECT * FROM t WHERE a = 1 AND\nset_add(a, <<1>>) = a",
            "Unrecognized function: set_add at 2:1:7",
        ),
        (
            "INSERT INTO t VALUE {'s': set_add(<<'a'>>, <<'b'>>)}",
            "Unsupported data type: set_add under key root at 1:27:7",
        ),
        (
            "INSERT INTO t VALUE {'s': [?]}",
            "Unsupported data type: Parameter under key root[0] at 1:28:1",
        ),
        ("INSERT INTO t VALUE {'s': <<>>}", "Empty bags are not supported"),
        (
            "INSERT INTO t VALUE {'s': <<1, 'a'>>}",
            "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in"
            " bags",
        ),
        ("INSERT INTO t VALUE {'s': <<'a', 'a'>>}", DUPLICATES + "[a, a] contains duplicates."),
        (
            "UPDATE t SET n = set_add(n, <<2, 2.0>>) WHERE pk = 1",
            DUPLICATES + "[2, 2.0] contains duplicates! under root",
        ),
        (
            "UPDATE t SET d = " + "{'a':" * 32 + "1" + "}" * 32 + " WHERE pk = 1",
            "Nesting Levels have exceeded supported limits under root" + ".a" * 32,
        ),
        ("UPDATE t SET n = 'a' + 1 WHERE pk = 1", WRONG + "+, operand type: S"),
        ("UPDATE t SET n = n - null WHERE pk = 1", WRONG + "-, operand type: NULL"),
        ("SELECT * FROM t WHERE attribute_exists(n) > false", WRONG + ">, operand type: BOOL"),
        ("SELECT * FROM t WHERE attribute_type(l, 1)", WRONG + "attribute_type, operand type: N"),
        (
            "SELECT * FROM t WHERE attribute_type(l, 'X')",
            "Invalid attribute type name found; type: X,"
            " valid types: {N,BS,L,B,NULL,M,S,SS,NS,BOOL}",
        ),
        (
            "SELECT * FROM t WHERE attribute_exists('ss')",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "SELECT * FROM t WHERE attribute_exists()",
            "Incorrect number of operands for operator or function; operator or function:"
            " attribute_exists, number of operands: 0",
        ),
        (
            "UPDATE t SET a = set_add(b, <<'x'>>) WHERE pk = 1",
            "The first argument to SET_ADD must equal the assignment value at 1:18:7",
        ),
        (
            "UPDATE t\nSET abc = set_add(abc, 'x') WHERE pk = 1",
            "The second argument to SET_ADD must be a value with type SET at 2:19:3",
        ),
        (
            "UPDATE t SET a = set_delete(a) WHERE pk = 1",
            "SET_DELETE must have exactly two arguments at 1:18:10",
        ),
        (
            "DELETE FROM t WHERE pk = 'x' RETURNING MODIFIED OLD *",
            "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is"
            " allowed in DELETE statements.",
        ),
        (
            "SELECT * FROM t WHERE a = ?",
            "Number of parameters in request and statement don't match.",
        ),
        (
            "SELECT * FROM t WHERE a IN ["
            + ",".join("1" * (i > 0) + str(i) for i in range(101))
            + "]",
            "The IN operator is provided with too many operands; number of operands: 101",
        ),
    ],
)
def test_the_services_words(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
def test_an_order_of_what_has_none_is_refused_whatever_the_table(sign: str) -> None:
    text = f"SELECT * FROM t WHERE pk = ? AND val {sign} ?"
    assert refusal(text, {"S": "x"}, {"BOOL": True}) == f"{WRONG}{sign}, operand type: BOOL"


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("'it''s'", {"S": "it's"}),
        ("7.31e6", {"N": "7310000"}),
        (".73E1", {"N": "7.3"}),
        ("- - 1", {"N": "1"}),
        ("-/* c */-1", {"N": "1"}),
        ("+5", {"N": "5"}),
        ("-0", {"N": "0"}),
        ("-1.5e-3", {"N": "-0.0015"}),
        ("true", {"BOOL": True}),
        ("NULL", {"NULL": True}),
        ("[1, 'a', [- 2]]", {"L": [{"N": "1"}, {"S": "a"}, {"L": [{"N": "-2"}]}]}),
        ("{'a': {}, 'b b': []}", {"M": {"a": {"M": {}}, "b b": {"L": []}}}),
        ("<<1, 34, 4.50>>", {"NS": ["1", "34", "4.5"]}),
        ("<<'a', 'b'>>", {"SS": ["a", "b"]}),
        ("?", {"B": "AQ=="}),
    ],
)
def test_literals(literal: str, value: dict[str, Any]) -> None:
    body = parse(f"INSERT INTO t VALUE {{'x': {literal}}};").body
    assert isinstance(body, Insert) and isinstance(body.value, Struct)
    assert value_of(body.value.fields[0][1], [{"B": "AQ=="}]) == value


def test_comments_case_and_quotes() -> None:
    text = 'select/**/a, "b c"."d""e"[0] from "my-t" -- note\nwhere pk/* k */=\'a--b /*c*/\' --'
    body = parse(text).body
    assert isinstance(body, Select) and body.columns is not None
    assert body.source.steps == ("my-t",)
    assert [c.steps for c in body.columns] == [("a",), ("b c", 'd"e', 0)]  # type: ignore[union-attr]


def test_update_and_from_first_are_one_statement() -> None:
    one = parse("UPDATE t SET a = 1, b = 2 REMOVE c WHERE pk = 'x' RETURNING ALL NEW *").body
    two = parse("FROM t WHERE pk = 'x' SET a = 1 SET b = 2 REMOVE c RETURNING ALL NEW *").body
    assert isinstance(one, Update) and isinstance(two, Update)
    assert [p.steps for p, _ in one.actions] == [p.steps for p, _ in two.actions]
    assert one.returning == two.returning == "ALL NEW"


# -- hostile texts --------------------------------------------------------------------------------

VOCABULARY = """
    SELECT * FROM WHERE INSERT INTO VALUE UPDATE SET REMOVE DELETE RETURNING ALL OLD NEW MODIFIED
    ORDER BY ASC DESC AND OR NOT IN BETWEEN IS MISSING NULL TRUE LIKE EXISTS size contains
    begins_with attribute_exists attribute_type set_add list_append t pk sk a "a" 'x' 1 -2 1e5 ? ( )
    [ ] << >> { } , . : ; = <> != < <= > >= + - * / % || -- /* */ 'it''s' a.b a[0] {'k':1}
"""
WORDS = st.sampled_from(VOCABULARY.split())
SOUP = st.lists(WORDS, max_size=40).map(" ".join)
PARAMETERS = [{"S": "x"}, {"N": "1"}, {"L": []}, {"SS": ["a"]}, {"BOOL": True}] * 8


def judged(text: str) -> None:
    """Understood, or refused in the service's way."""
    try:
        understand(text, PARAMETERS)
    except AwsError as error:
        assert error.code == "ValidationException" and error.message


@settings(max_examples=400, deadline=None)
@given(SOUP)
def test_any_soup_of_words_is_judged(text: str) -> None:
    judged(text)


@settings(max_examples=300, deadline=None)
@given(
    SOUP,
    st.sampled_from(
        [
            "SELECT * FROM t WHERE ",
            "UPDATE t SET a = ",
            "DELETE FROM t WHERE ",
            "INSERT INTO t VALUE ",
        ]
    ),
)
def test_any_soup_after_a_good_start_is_judged(text: str, start: str) -> None:
    judged(start + text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_judged(text: str) -> None:
    judged(text)


@pytest.mark.parametrize(
    "part",
    [
        "(",
        "[",
        "<<",
        "{'a':",
        "NOT ",
        "- ",
        "a.",
        "'",
        '"',
        "/*",
        "--",
        "a=",
        "a IS NULL IS ",
        "1+",
        "a[",
        "EXISTS(",
        "FROM a WHERE ",
        "(SELECT ",
        "a IN [",
        "a BETWEEN ",
        "NOT IN ",
        "=?",
        " AND (a=1 OR b=2)",
        " OR a",
        "x IN (1) = ",
        "IS NOT NULL ",
        "?,",
        "''",
        "\n",
    ],
)
def test_hostile_repetition_ends_soon(part: str) -> None:
    for start in ("", "SELECT * FROM t WHERE a=1 ", "SELECT * FROM t WHERE "):
        text = (start + part * 8192)[:8192]
        began = time.process_time()
        judged(text)
        assert time.process_time() - began < 5  # a hang, not a slow machine
