"""One step of one resource: where it starts from, and how something new is made."""

from __future__ import annotations

import logging
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.services.cloudformation.existing import already_exists, is_taken
from pileus.services.cloudformation.resources import own_name
from pileus.services.cloudformation.resources.kind import Kind, Made, Site, Unchanged

log = logging.getLogger("pileus.cloudformation")
Record = dict[str, Any]


async def created(kind: Kind, site: Site, wish: Record) -> Made:
    """The resource; where it was made and then could not be set up, it is taken away again."""
    try:
        return await kind.create(site, wish)
    except (AwsError, Unavailable) as error:
        if is_taken(site, wish, error):
            raise already_exists(site, wish) from error
        if site.begun is not None:
            try:
                await kind.delete(site, site.begun, wish)
            except (AwsError, Unavailable):
                log.warning("%s is left behind", site.begun.physical_id, exc_info=True)
        raise


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
