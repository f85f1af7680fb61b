"""SNS's errors in its own words."""

from __future__ import annotations

from pileus.errors import AwsError


def invalid(what: str) -> AwsError:
    """``what``: the parameter, and why it is refused."""
    return AwsError("InvalidParameter", f"Invalid parameter: {what}")


def invalid_token() -> AwsError:
    """What can be nobody's token."""
    return AwsError("InvalidParameter", "Invalid token")


def not_offered(what: str) -> AwsError:
    """SNS has it, Pileus has not."""
    return invalid(f"{what} is not offered by Pileus")


def attribute_type(message: str) -> AwsError:
    return AwsError("ParameterValueInvalid", message)


def no_topic() -> AwsError:
    return AwsError("NotFound", "Topic does not exist", 404)


def no_subscription() -> AwsError:
    return AwsError("NotFound", "Subscription does not exist", 404)


def no_resource() -> AwsError:
    return AwsError("ResourceNotFound", "Resource does not exist", 404)


def unauthorized(message: str) -> AwsError:
    return AwsError("AuthorizationError", message, 403)


def too_many(subscriptions_max: int) -> AwsError:
    message = f"A topic has at most {subscriptions_max} subscriptions"
    return AwsError("SubscriptionLimitExceeded", message, 403)
