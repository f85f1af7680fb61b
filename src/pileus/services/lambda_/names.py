"""How functions, versions, aliases and layers are named, and the errors about names.

A function is named by name, partial ARN (``123456789012:function:name``) or ARN, each with an
optional qualifier (``$LATEST``, a version number, an alias).
https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.owned import Owned

LATEST = "$LATEST"
NAME_LENGTH_MAX = 64
# As AWS tells them. Operations whose model has another pattern have met it at the door.
FUNCTION_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
    r"(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
QUALIFIER_PATTERN = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
QUALIFIER_LENGTH_MAX = 128
_FUNCTION = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):)?(?:(?P<account>\d{12}):)?"
    r"(?:function:)?(?P<name>[a-zA-Z0-9-_]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)
_REGION = re.compile(r"(eusc-)?[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-\d")
_QUALIFIER = re.compile(QUALIFIER_PATTERN)
_ALIAS = re.compile(r"(?!^[0-9]+$)[a-zA-Z0-9-_]{1,128}")
_LAYER = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:)?"
    r"(?P<name>[a-zA-Z0-9-_]{1,140})(?::(?P<version>\d+))?"
)
_ROLE = re.compile(r"arn:aws[a-zA-Z-]*:iam::(\d{12}):role/?[a-zA-Z_0-9+=,.@\-/]+")


@dataclass(frozen=True, slots=True)
class FunctionName(Owned):
    """Whose function, where, which, and the qualifier given with it ('' = none). ``arn`` is
    unqualified."""

    SERVICE, KIND = "lambda", "function:"

    qualifier: str = ""

    @property
    def qualified_arn(self) -> str:
        return f"{self.arn}:{self.qualifier}" if self.qualifier else self.arn


@dataclass(frozen=True, slots=True)
class LayerName(Owned):
    """A layer, and its version when the name was a version's ARN (0 = none)."""

    SERVICE, KIND = "lambda", "layer:"

    version: int = 0

    def version_arn(self, version: int) -> str:
        return f"{self.arn}:{version}"


def function_name(call: Call, text: str, qualifier: str | None = None) -> FunctionName:
    """Parse ``text`` as the caller would mean it; ``ValidationException`` when it is no name."""
    found = _FUNCTION.fullmatch(text)
    if found is None or len(text) > 256:
        raise validation(text, "functionName", FUNCTION_PATTERN)
    inner = found["qualifier"] or ""
    if qualifier and len(qualifier) > QUALIFIER_LENGTH_MAX:
        raise too_long(qualifier, "qualifier", QUALIFIER_LENGTH_MAX)
    if qualifier and not _QUALIFIER.fullmatch(qualifier):
        raise validation(qualifier, "qualifier", QUALIFIER_PATTERN)
    if qualifier and inner and qualifier != inner:
        raise invalid("The derived qualifier from the function name does not match the specified"
                      " qualifier.")  # fmt: skip
    region = found["region"] or call.region
    if region != call.region and not _REGION.fullmatch(region):
        raise validation(text, "functionName", FUNCTION_PATTERN)
    if region != call.region:
        raise not_found(f"Functions from '{region}' are not reachable in this region"
                        f" ('{call.region}')")  # fmt: skip
    return FunctionName(found["account"] or call.account, region, found["name"], qualifier or inner)


def called_function(call: Call) -> FunctionName:
    """The function an operation's parameters name."""
    return function_name(call, call.params["FunctionName"], call.params.get("Qualifier"))


def layer_name(call: Call, text: str) -> LayerName:
    found = _LAYER.fullmatch(text)
    if found is None:
        raise validation(text, "layerName", _LAYER.pattern)
    return LayerName(
        found["account"] or call.account,
        found["region"] or call.region,
        found["name"],
        int(found["version"] or 0),
    )


def check_alias(name: str) -> None:
    if not _ALIAS.fullmatch(name):
        raise validation(name, "name", r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)")


def check_role(role: str, account: str) -> None:
    """The ARN's form, and that the role is the account's own."""
    found = _ROLE.fullmatch(role)
    if found is None:
        raise validation(
            role, "role", r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
        )
    if found[1] != account:
        raise AwsError(
            "AccessDeniedException", "Cross-account pass role is not allowed.", 403, fields=USER
        )


# -- errors ------------------------------------------------------------------------------------

USER = {"Type": "User"}


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message, 400, fields=USER)


def invalid_value(message: str) -> AwsError:
    """``invalid``, of those that do not tell a ``Type``."""
    return AwsError("InvalidParameterValueException", message, 400, fields={"Type": None})


def validation(value: object, member: str, pattern: str) -> AwsError:
    return AwsError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint:"
        f" Member must satisfy regular expression pattern: {pattern}",
    )


def too_long(value: str, member: str, longest: int) -> AwsError:
    return AwsError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint:"
        f" Member must have length less than or equal to {longest}",
    )


def not_found(message: str) -> AwsError:
    return AwsError("ResourceNotFoundException", message, 404, fields=USER)


def no_function(name: FunctionName) -> AwsError:
    return not_found(f"Function not found: {name.qualified_arn}")


def no_alias(name: FunctionName, alias: str) -> AwsError:
    return not_found(f"Cannot find alias arn: {name.arn}:{alias}")


def conflict(message: str) -> AwsError:
    return AwsError("ResourceConflictException", message, 409, fields=USER)


def precondition_failed(what: str = "GetFunction/GetAlias") -> AwsError:
    return AwsError(
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id."
        f" Call the {what} API to retrieve the latest Revision Id",
        412,
        fields=USER,
    )
