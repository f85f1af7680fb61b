"""Small damage to bytes, words, XML and trees; every choice comes from the ``Random`` given."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

BYTES = (
    *(b"\x00", b"\xff", b"\r\n", b"\n", b"%", b"%zz", b"%00", b"../", b"{", b"}", b"[" * 500),
    *(b'"', b"'", b"<", b"</a>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&lol;", b"\xc3\x28"),
    *(b"-1", b"99999999999999999999", b"NaN", b"1e999", b"null", b"true", b".member.1", b"=" * 9),
    *(
        b"\xbf\xff",
        b"\x9f" * 300,
        b"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",
        b"&#0;",
        b"\xef\xbb\xbf",
    ),
    *(b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"(" * 300, b"\xc0\xc1\xd6" * 20, b"]]>", b"<!--"),
)
WORDS = (
    *("", " ", "(", ")", "[", "]", "{", "}", ".", ",", "=", "<>", "<", ">=", "AND", "OR", "NOT"),
    *("BETWEEN", "IN", "SET", "REMOVE", "ADD", "DELETE", "size", "contains", "attribute_type"),
    *("if_not_exists", "list_append", ":v", ":nope", "#n", "#nope", "#", ":", "[99999999999]"),
    *("[-1]", "a", "é", "'", '"', "''", "?", "<<", ">>", "SELECT", "FROM", "WHERE", "null"),
    *("MISSING", "1e400", "-", "+", "*", "/", "\x00", "\U0001f600", "\ud800", ";", "--", "0x1"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 1e308, -0.0, 0.5),
    *("", " ", "a", "\x00", "é", "\U0001f600", "x" * 300, "x" * 3000, "1", "-1", "NaN", "true"),
    *([], {}, [None], [[]], [{}], {"": ""}, {"S": "a"}, {"N": "x"}, {"L": [{}]}, {"NULL": False}),
    *("arn:aws:iam::000000000000:role/x", "arn:", "::::::", "../../etc/passwd", "%00", "a/b"),
    *("*", "${aws:username}", "https://[::1", "2026-01-01T00:00:00Z", "-1-1-1", "1e999", "\ufeff"),
)


FEW = (1, 1, 1, 2, 3)


def in_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four cuts, insertions, overwritings or turns."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        match rng.randint(0, 4):
            case 0:
                data = data[:at] + rng.choice(BYTES) + data[at:]
            case 1:
                data = data[:at] + data[at + rng.randint(1, 20) :]
            case 2:
                data = data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at + 2 :]
            case 3:
                some = data[at : at + rng.randint(1, 30)]
                data = data[:at] + some * rng.randint(2, 40) + data[at:]
            case _:
                data = data[at:] + data[:at]
    return data


def in_header(text: str, rng: random.Random) -> str:
    """Text that still fits on a header line."""
    data = in_bytes(text.encode("latin-1", "replace"), rng).decode("latin-1")
    return "".join(c for c in data if c == "\t" or " " <= c != "\x7f").strip()[:4000]


def in_words(text: str, rng: random.Random) -> str:
    """Expressions and statements: words are dropped, doubled, exchanged, added, nested."""
    words = re.findall(r"\w+|\s+|[^\w\s]", text) or [""]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(words))
        match rng.randint(0, 5):
            case 0:
                del words[at : at + rng.randint(1, 3)]
            case 1:
                words.insert(at, rng.choice(WORDS))
            case 2:
                words[at] = rng.choice(WORDS)
            case 3:
                other = rng.randrange(len(words))
                words[at], words[other] = words[other], words[at]
            case 4:
                words[at:at] = words[at : at + rng.randint(1, 8)] * rng.randint(1, 30)
            case _:
                deep = rng.choice((2, 40, 400))
                words[at] = "(" * deep + words[at] + ")" * deep
        words = words or [""]
    return "".join(words)


def in_markup(text: str, rng: random.Random) -> str:
    """XML: tags and texts are dropped, doubled, exchanged, renamed, nested."""
    parts = [p for p in re.split(r"(<[^>]*>)", text) if p] or [""]
    for _ in range(rng.choice(FEW)):
        at = rng.randrange(len(parts))
        match rng.randint(0, 9):
            case 7 | 8 | 9:
                texts = [n for n, part in enumerate(parts) if part[:1] != "<"] or [at]
                at = rng.choice(texts)
                parts[at] = rng.choice((str(rng.choice(VALUES)), in_words(parts[at], rng)))
            case 0:
                del parts[at]
            case 1:
                parts[at:at] = parts[at : at + rng.randint(1, 6)] * rng.randint(1, 20)
            case 2:
                other = rng.randrange(len(parts))
                parts[at], parts[other] = parts[other], parts[at]
            case 3:
                deep = rng.choice((1, 50, 3000))
                parts[at] = "<a>" * deep + parts[at] + "</a>" * deep
            case 4:
                parts[at] = str(rng.choice(VALUES))
            case 5:
                parts[at] = re.sub(r"^<(\w)", r'<\1 b="&lt;" xmlns:c="d"', parts[at])
            case _:
                parts[at] = rng.choice(
                    ("<![CDATA[x", "<?xml version='1.0' encoding='utf-16'?>", "<!--", "&#0;", "</>")
                )
        parts = parts or [""]
    return "".join(parts)


def in_text(text: str, rng: random.Random) -> str:
    """A text that may hold a JSON document of its own."""
    if text[:1] != "{" or rng.random() < 0.2:
        return in_words(text, rng)
    try:
        return json.dumps(in_tree(json.loads(text), rng))
    except (ValueError, RecursionError):
        return in_words(text, rng)


def in_tree(value: Any, rng: random.Random) -> Any:
    """JSON-like trees: one to three places are replaced, dropped, doubled, wrapped, renamed."""
    holder = [value]
    for _ in range(rng.choice(FEW)):
        places: list[tuple[Any, Any]] = []
        _walk(holder, places)
        at, key = rng.choice(places)
        match rng.randint(0, 8):
            case 0:
                at[key] = copy.deepcopy(rng.choice(VALUES))
            case 7 | 8:
                alike = [v for v in VALUES if type(v) is type(at[key])]
                at[key] = copy.deepcopy(rng.choice(alike or VALUES))
            case 1 if at is not holder:
                del at[key]
            case 2 if isinstance(at, dict):
                at[str(rng.choice(VALUES))] = at[key]
            case 3:
                for _ in range(rng.choice((1, 2, 40, 150))):
                    at[key] = [at[key]] if rng.random() < 0.5 else {"M": at[key]}
            case 4 if isinstance(at[key], str):
                at[key] = in_text(at[key], rng)
            case 5 if isinstance(at[key], list):
                at[key] = at[key] * rng.choice((0, 2, 30))
            case _:
                at[key] = rng.choice(places[: 1 + len(places) // 2])[1]
    return holder[0]


def _walk(value: Any, places: list[tuple[Any, Any]]) -> None:
    todo = [value]
    while todo:
        at = todo.pop()
        for key in range(len(at)) if isinstance(at, list) else list(at):
            places.append((at, key))
            if isinstance(at[key], list | dict):
                todo.append(at[key])


def in_pairs(pairs: list[tuple[str, str]], rng: random.Random) -> list[tuple[str, str]]:
    """Names and values of a form, a query or headers."""
    pairs = list(pairs) or [("", "")]
    change: Callable[[str, random.Random], str] = rng.choice((in_text, in_text, in_header))
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(pairs))
        name, value = pairs[at]
        match rng.randint(0, 6):
            case 0:
                del pairs[at]
            case 1:
                pairs.insert(at, (name, str(rng.choice(VALUES))))
            case 2:
                pairs[at] = (change(name, rng), value)
            case 3:
                pairs[at] = (re.sub(r"\d+", str(rng.choice((0, -1, 10**12))), name), value)
            case _:
                pairs[at] = (name, change(value, rng))
        pairs = pairs or [("", "")]
    return pairs
