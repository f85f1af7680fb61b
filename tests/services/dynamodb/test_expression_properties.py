"""Random expressions and statements against the plain model: same verdicts, same items."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pileus.errors import AwsError
from pileus.services.dynamodb.expressions.binding import bind
from pileus.services.dynamodb.partiql.conditions import filter_of
from pileus.services.dynamodb.partiql.literals import check_parameters
from pileus.services.dynamodb.partiql.parser import parse
from pileus.services.dynamodb.partiql.syntax import Select, Update
from pileus.services.dynamodb.partiql.updates import UpdateText
from pileus.services.dynamodb.values import check_item
from tests.services.dynamodb import plain_model as model
from tests.services.dynamodb.expression_texts import (
    ANY_PATH,
    CONDITIONS,
    ITEMS,
    LISTS,
    NUMERIC,
    PATHS,
    SETS,
    VALUES,
    Expression,
    PartiQL,
    Path,
    Tree,
    filled,
)


def through_expression(tree: Tree, item: dict[str, Any], which: str) -> bool:
    texts = Expression()
    params: dict[str, Any] = {which: texts.condition(tree)}
    if texts.names:
        params["ExpressionAttributeNames"] = texts.names
    if texts.values:
        params["ExpressionAttributeValues"] = copy.deepcopy(texts.values)
    bound = bind(params)
    made = bound.condition if which == "ConditionExpression" else bound.filter
    assert made is not None
    return made.test(item, bound.values)


def through_partiql(tree: Tree, item: dict[str, Any], literals: bool) -> bool:
    texts = PartiQL(literals)
    body = parse(f"SELECT * FROM t WHERE {texts.condition(tree)}").body
    parameters = copy.deepcopy(texts.parameters)
    check_parameters(parameters)
    assert isinstance(body, Select) and body.where is not None
    return filter_of(body.where, parameters).keep(item)


@settings(max_examples=300, deadline=None)
@given(CONDITIONS, ITEMS)
@example(("cmp", "<>", ("path", ("nope",)), ("path", ("a",))), {})
@example(("cmp", "<=", ("size", ("a",)), ("value", {"N": "1"})), {"a": {"S": "é"}})
def test_conditions_decide_as_the_model(tree: Tree, item: dict[str, Any]) -> None:
    tree = filled(tree, item)
    check_item(item)
    verdict = model.holds(tree, item)
    assert through_expression(tree, item, "ConditionExpression") == verdict
    assert through_expression(tree, item, "FilterExpression") == verdict
    assert through_partiql(tree, item, literals=True) == verdict
    assert through_partiql(tree, item, literals=False) == verdict


# -- updates --------------------------------------------------------------------------------------

PATH_OPERANDS = ANY_PATH.map(lambda p: ("path", p))
NUMBERS = st.one_of(PATH_OPERANDS, NUMERIC.map(lambda v: ("value", v)))
LISTED = st.one_of(PATH_OPERANDS, LISTS.map(lambda v: ("value", v)))
AMOUNTS = st.one_of(
    PATH_OPERANDS,
    VALUES.map(lambda v: ("value", v)),
    st.tuples(st.sampled_from(("plus", "minus")), NUMBERS, NUMBERS),
    st.tuples(st.just("append"), LISTED, LISTED),
    st.tuples(st.just("first"), ANY_PATH, VALUES.map(lambda v: ("value", v))),
)
MEMBERS: tuple[Path, ...] = (("k", 0), ("k", 1), ("k", 2), ("k", 3), ("k", 9), ("l", 2))
TARGETS: tuple[Path, ...] = (*PATHS, ("new",), ("m", "new"), *MEMBERS)
ACTIONS = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(TARGETS), AMOUNTS),
    st.tuples(st.just("remove"), st.sampled_from(TARGETS)),
    st.tuples(st.just("remove"), st.sampled_from(MEMBERS)),
    st.tuples(st.just("add"), st.sampled_from(TARGETS), st.one_of(NUMERIC, SETS)),
    st.tuples(st.just("delete"), st.sampled_from(TARGETS), SETS),
    st.tuples(st.sampled_from(("add", "delete")), st.just(("s",)), SETS),
)


def apart(actions: list[Tree]) -> bool:
    """No path lies within another, or takes for a list what another takes for a map."""
    paths = [a[1] for a in actions]
    for n, p in enumerate(paths):
        for q in paths[:n]:
            for x, y in zip(p, q, strict=False):
                if isinstance(x, int) != isinstance(y, int):
                    return False
                if x != y:
                    break
            else:
                return False
    return True


UPDATES = st.lists(ACTIONS, min_size=1, max_size=4).filter(apart)


def aimed(actions: list[Tree], item: dict[str, Any]) -> list[Tree]:
    """Sets taken from or added to a set that is there are made of its kind, some of its own."""
    out = []
    for action in actions:
        held = model.at(action[1], item) or {}
        kind = next((k for k in ("SS", "NS", "BS") if k in held), "")
        if action[0] in ("add", "delete") and kind and "N" not in action[2]:
            other = action[2].get(kind, [])
            mixed = list(dict.fromkeys([*held[kind][:2], *other]))
            action = (*action[:2], {kind: mixed})
        out.append(action)
    return out


def after_expression(actions: list[Tree], item: dict[str, Any]) -> dict[str, Any] | None:
    texts = Expression()
    params: dict[str, Any] = {"UpdateExpression": texts.update(actions)}
    params["ExpressionAttributeNames"] = texts.names
    if texts.values:
        params["ExpressionAttributeValues"] = copy.deepcopy(texts.values)
    bound = bind(params)
    assert bound.update is not None
    out = copy.deepcopy(item)
    try:
        bound.update.apply(out, bound.values)
    except AwsError as error:
        assert error.code == "ValidationException"
        return None
    check_item(out)  # no set holds a member twice
    return out


def after_statement(actions: list[Tree], item: dict[str, Any]) -> dict[str, Any] | None:
    texts = PartiQL()
    body = parse(f"UPDATE t {texts.update(actions)} WHERE pk = 1").body
    assert isinstance(body, Update)
    parameters = copy.deepcopy(texts.parameters)
    check_parameters(parameters)
    text = UpdateText(body.actions, parameters)
    out = copy.deepcopy(item)
    try:
        text.compiled.apply(out, text.values)
    except AwsError as error:
        assert error.code == "ValidationException"
        return None
    return out


def canonical(item: dict[str, Any] | None) -> Any:
    return None if item is None else {n: model.plain(v) for n, v in item.items()}


@settings(max_examples=300, deadline=None)
@given(UPDATES, ITEMS)
def test_updates_change_items_as_the_model(actions: list[Tree], item: dict[str, Any]) -> None:
    check_item(item)
    actions = aimed(copy.deepcopy(actions), item)
    before = copy.deepcopy(item)
    try:
        wanted = model.updated(actions, item)
    except model.Refused:
        wanted = None
    assert canonical(after_expression(actions, item)) == canonical(wanted)
    assert item == before
    assert canonical(after_statement(actions, item)) == canonical(wanted)


# -- every pair of a table of values --------------------------------------------------------------

TABLE: list[dict[str, Any]] = [
    *({"S": x} for x in ("", "a", "ab", "b", "\uffff", "\U0001f600")),
    *({"N": x} for x in ("0", "1", "-1", "2.5", "1000", "0.001")),
    *({"B": x} for x in ("", "AA==", "AAE=", "/w==")),
    *({"SS": x} for x in (["a"], ["a", "ab"], ["ab", "a"], ["b", "a", "ab"])),
    *({"NS": x} for x in (["1"], ["1", "2.5"], ["2.5", "1"])),
    *({"BS": x} for x in (["AA=="], ["AA==", "/w=="], ["/w==", "AA=="])),
    *({"L": x} for x in ([], [{"S": "a"}], [{"N": "1"}, {"S": "a"}], [{"SS": ["ab", "a"]}])),
    *({"M": x} for x in ({}, {"x": {"N": "1"}}, {"x": {"N": "1"}, "y": {"SS": ["a", "ab"]}})),
    {"M": {"y": {"SS": ["ab", "a"]}, "x": {"N": "1"}}},
    *({"BOOL": x} for x in (True, False)),
    {"NULL": True},
]


def test_every_pair_of_values_compares_as_in_the_model() -> None:
    a, v = ("path", ("a",)), ("path", ("v",))
    trees: list[Tree] = [("cmp", sign, a, v) for sign in ("=", "<>", "<", "<=", ">", ">=")]
    trees += [("contains", ("a",), v), ("begins", ("a",), v), ("in", a, (v,))]
    trees += [("between", a, v, v), ("cmp", "=", ("size", ("a",)), v)]
    decided = 0
    for tree in trees:
        for x in TABLE:
            for y in (*TABLE, None):
                item = {"a": x} if y is None else {"a": x, "v": y}
                verdict = model.holds(tree, item)
                decided += verdict
                assert through_expression(tree, item, "FilterExpression") == verdict, (tree, item)
                assert through_partiql(tree, item, literals=True) == verdict, (tree, item)
    assert decided > 500


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(TARGETS), min_size=1, max_size=5), ITEMS)
def test_projections_show_what_the_model_shows(paths: list[Path], item: dict[str, Any]) -> None:
    check_item(item)
    if not apart([("show", p) for p in paths]):
        return
    texts = Expression()
    text = ", ".join(map(texts.path, paths))
    projection = bind(
        {"ProjectionExpression": text, "ExpressionAttributeNames": texts.names}
    ).projection
    assert projection is not None
    assert projection.apply(item) == model.projected(paths, {"M": item}).get("M", {})


def test_every_pair_of_sets_adds_and_takes_as_in_the_model() -> None:
    changed = 0
    for word in ("add", "delete"):
        for old in (*TABLE, None):
            for operand in TABLE:
                if not operand.keys() & ({"SS", "NS", "BS"} | ({"N"} if word == "add" else set())):
                    continue
                actions = [(word, ("a",), operand)]
                item = {} if old is None else {"a": old}
                try:
                    wanted = model.updated(actions, item)
                except model.Refused:
                    wanted = None
                changed += wanted is not None and wanted != item
                assert canonical(after_expression(actions, item)) == canonical(wanted)
                assert canonical(after_statement(actions, item)) == canonical(wanted)
    assert changed > 50
