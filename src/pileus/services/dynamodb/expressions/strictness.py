"""What the service's reader of expressions refuses and ours once took.

Entries of old logs may hold such texts and must mean what they meant, so only the door asks: the
compilers that ``apply`` shares stay as they were.
"""

from __future__ import annotations

from functools import lru_cache

from pileus.services.dynamodb.expressions.tokens import Fault, Tokens

INDEX_MAX = 2**31 - 1


@lru_cache(maxsize=2048)
def strict_fault(text: str) -> Fault | None:
    """A name that begins with an underscore, or an index no list has; None for neither, and for
    what the compilers refuse anyway."""
    try:
        found = Tokens(text).list
    except Fault:
        return None
    for at, token in enumerate(found):
        if token.kind == "name" and token.text[0] == "_":
            # The service's reader sees two words: the underscore, and what follows it.
            near = text[found[max(at - 1, 0)].start : token.end]
            return Fault(f'Syntax error; token: "_", near: "{near}"')
        if token.kind == "number" and int(token.text) > INDEX_MAX:
            return Fault(
                f"List index is not within the allowable range; index: [{int(token.text)}]"
            )
    return None
