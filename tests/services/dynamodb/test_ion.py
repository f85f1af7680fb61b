"""Items as Amazon Ion text: what the Developer Guide shows, what the specification allows."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.services.dynamodb.copying import ion
from pileus.services.dynamodb.values import check_item

# Developer Guide, "Amazon S3 import formats for DynamoDB", its item of a book.
BOOK = (
    b'$ion_1_0 {Item:{Authors:$dynamodb_SS::["Author1","Author2"],Dimensions:"8.5 x 11.0 x 1.5",'
    b'ISBN:"333-3333333333",Id:103.,InPublication:false,PageCount:6d2,Price:2d3,'
    b'ProductCategory:"Book",Title:"Book 103 Title"}}\n'
)
ITEM: dict[str, Any] = {
    "Authors": {"SS": ["Author1", "Author2"]},
    "Dimensions": {"S": "8.5 x 11.0 x 1.5"},
    "ISBN": {"S": "333-3333333333"},
    "Id": {"N": "103"},
    "InPublication": {"BOOL": False},
    "PageCount": {"N": "600"},
    "Price": {"N": "2000"},
    "ProductCategory": {"S": "Book"},
    "Title": {"S": "Book 103 Title"},
}


def read(text: str) -> Any:
    found = ion.item(f"$ion_1_0 {{Item:{{v:{text}}}}}".encode())
    assert found is not None
    check_item(found)
    return found["v"]


def test_the_guide_s_line_both_ways() -> None:
    assert ion.line({"Item": ITEM}) == BOOK
    found = ion.item(BOOK)
    assert found is not None
    check_item(found)
    assert found == ITEM


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", {"N": "1"}),
        ("-1_000", {"N": "-1000"}),
        ("0x1F", {"N": "31"}),
        ("0b101", {"N": "5"}),
        ("1.50", {"N": "1.5"}),
        ("-12d-6", {"N": "-0.000012"}),
        ("2.5e1", {"N": "25"}),
        ("null", {"NULL": True}),
        ("null.decimal", {"NULL": True}),
        ("true", {"BOOL": True}),
        (r'"a\n\x41\u00e9\U0001d11e\ud834\udd1e\"\/"', {"S": 'a\nAé𝄞𝄞"/'}),
        ("'''one ''' '''two'''", {"S": "one two"}),
        ("{{ eHl6 }}", {"B": "eHl6"}),
        ("{{}}", {"B": ""}),
        ("[1, /* two */ 2,]", {"L": [{"N": "1"}, {"N": "2"}]}),
        ("$dynamodb_NS::[1,2.5]", {"NS": ["1", "2.5"]}),
        ("'$dynamodb_BS' :: [{{YQ==}}]", {"BS": ["YQ=="]}),
        (
            "{a:1,'b c':{},\"null\":[],$x:null,}",
            {"M": {"a": {"N": "1"}, "b c": {"M": {}}, "null": {"L": []}, "$x": {"NULL": True}}},
        ),
    ],
)
def test_what_ion_text_may_be(text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("symbol", "'symbol'", "2020-01-01T", "nan", "+inf", "01", "1..2", "1__0", '{{"clob"}}'),
        *("(1 2)", "[1 2]", "{a}", "{a:1 b:2}", "{a:1,a:2}", "other::[1]", "$dynamodb_SS::[1]"),
        *('"open', r'"\q"', r'"\ud834"', "[1", "/* open", "0x" + "f" * 4000, "[" * 100, "1 // x"),
    ],
)
def test_what_is_no_item(text: str) -> None:
    with pytest.raises(ion.NotIon):
        ion.item(f"$ion_1_0 {{Item:{{v:{text}}}}}".encode())


@pytest.mark.parametrize("text", [b"{Item:1}", b"{Other:{}}", b"{Item:{}} 1", b"[]", b"\xff", b"1"])
def test_what_is_no_line_of_an_item(text: bytes) -> None:
    with pytest.raises(ion.NotIon):
        ion.item(text)
    assert ion.item(b"  $ion_1_0 // nothing\r") is None


texts = st.text(st.characters(codec="utf-8"), max_size=8)
binary = st.sampled_from(["", "YQ==", "eHl6"])
digits = st.builds(
    lambda sign, n, e: f"{sign}{n}e{e}",
    st.sampled_from(["", "-"]),
    st.integers(0, 10**38 - 1),
    st.integers(-120, 80),
)
values = st.recursive(
    st.one_of(
        st.builds(lambda s: {"S": s}, texts),
        st.builds(lambda n: {"N": n}, digits),
        st.builds(lambda b: {"B": b}, binary),
        st.builds(lambda b: {"BOOL": b}, st.booleans()),
        st.just({"NULL": True}),
        st.builds(lambda s: {"SS": s}, st.lists(texts, min_size=1, max_size=3, unique=True)),
        st.just({"NS": ["1", "-2.5", "3000"]}),
        st.just({"BS": ["YQ==", ""]}),
    ),
    lambda inner: st.one_of(
        st.builds(lambda x: {"L": x}, st.lists(inner, max_size=3)),
        st.builds(lambda x: {"M": x}, st.dictionaries(texts, inner, max_size=3)),
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(st.dictionaries(texts.filter(bool), values, max_size=4))
def test_every_item_comes_back(item: dict[str, Any]) -> None:
    check_item(item)
    line = ion.line({"Item": orjson.loads(orjson.dumps(item))})
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    found = ion.item(line)
    assert found is not None
    check_item(found)
    assert found == item


@pytest.mark.parametrize(
    "piece", ["/**/", "/*", "// ", "'", "'''", '"', "\\", "1", "1_", "{", "[", "a:", "{{", " "]
)
def test_hostile_lines_end_soon(piece: str) -> None:
    """Twice the line is twice the work; were it four times, this would not end for hours."""
    line = (piece * (200_000 // len(piece)) + "\r)").encode()
    for text in (line, b"{Item:{v:" + line):
        with pytest.raises(ion.NotIon):
            ion.item(text)
