"""One step of one resource: where it starts from, and how something new is made."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.services.cloudformation.existing import already_exists, is_taken
from pileus.services.cloudformation.resources import own_name
from pileus.services.cloudformation.resources.kind import Kind, Made, Site, Unchanged

log = logging.getLogger("pileus.cloudformation")
Record = dict[str, Any]


class Malformed(AwsError):
    """A property has another shape than its type's."""


@contextmanager
def well_formed(logical: str) -> Iterator[None]:
    """Let a property of another shape than its type's fail the resource, as CloudFormation does:
    tried again, the step would come to the same."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        log.warning("a step of %s cannot be done", logical, exc_info=True)
        raise Malformed(
            "ValidationError",
            f"Properties validation failed for resource {logical} with message: {error!r}",
        ) from error


async def created(kind: Kind, site: Site, wish: Record) -> Made:
    """The resource; where it was made and then could not be set up, it is taken away again."""
    try:
        with well_formed(site.logical):
            return await kind.create(site, wish)
    except (AwsError, Unavailable) as error:
        if is_taken(site, wish, error):
            raise already_exists(site, wish) from error
        if site.begun is not None:
            try:
                with well_formed(site.logical):
                    await kind.delete(site, site.begun, wish)
            except (AwsError, Unavailable):
                log.warning("%s is left behind", site.begun.physical_id, exc_info=True)
        raise


async def updated(
    kind: Kind, site: Site, made: Made, had: Record, wish: Record, begun: Record | None
) -> Made:
    """The resource, brought from the properties it ``had``. ``begun``: the step that is undone."""
    try:
        with well_formed(site.logical):
            return await kind.update(site, made, had, wish)
    except Malformed:
        if begun is None or begun["old"] == had:
            raise
    # The step that failed had come as far as this one: what it changed is put back by now.
    with well_formed(site.logical):
        return await kind.update(site, made, begun["old"], wish)


def nothing(logical: str, type_: str) -> Record:
    return {"logical": logical, "type": type_, "physical": "", "attributes": {}}


def former(have: Record, operation: str, wish: Record) -> Record:
    """The properties an update starts from. Where one to the same end was cut off or failed, those
    from which it started; where it was another's, those it was to bring."""
    begun = have.get("begun")
    if begun is None:
        return dict(have["properties"])
    is_same = begun["operation"] == operation or begun["properties"] == wish
    return dict(begun["old"] if is_same else begun["properties"])


def replaced(record: Record | None) -> list[Record]:
    """What a resource took the place of and is still there, the newest first."""
    told = (record or {}).get("replaced") or []
    return told if isinstance(told, list) else [told]  # a single one, as older rows have it


def still_there(have: Record | None, physical: str, policy: str) -> list[Record]:
    """The same of a resource that is ``physical`` from now on. ``policy``: of what it replaces."""
    past = [one for one in replaced(have) if one["physical"] != physical]
    if have is None or have["physical"] in ("", physical):
        return past
    names = ("type", "physical", "attributes", "properties", "needs")
    return [{n: have[n] for n in names if n in have} | {"policy": policy}, *past]


def check_replaceable(work: Record) -> None:
    """What is left as it failed must be good for the next update and for a rollback: there is no
    replacement then.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html"""
    if work.get("failure") == "DO_NOTHING" and not work.get("rollback"):
        raise Unchanged(
            "ValidationError",
            "Replacement type updates not supported on stack with disable-rollback.",
        )


def check_renamed(type_: str, had: Record, wish: Record) -> None:
    """A resource that is replaced cannot keep the name its template gives it: both are there for a
    while."""
    name = own_name(type_, wish)
    if name and name == own_name(type_, had):
        raise Unchanged(
            "ValidationError",
            "CloudFormation cannot update a stack when a custom-named resource requires replacing."
            f" Rename {name} and update the stack again.",
        )
