"""CloudFront's control operations: distributions, identities, policies, invalidations, tags."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.call import Call, Parts
from pileus.services.cloudfront import configured, distributions, invalidations, tags
from pileus.services.cloudfront.access import access
from pileus.services.cloudfront.room import Room
from pileus.services.service import Service

OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "CreateDistribution": distributions.create_distribution,
    "CreateDistributionWithTags": distributions.create_distribution_with_tags,
    "GetDistribution": distributions.get_distribution,
    "GetDistributionConfig": distributions.get_distribution_config,
    "UpdateDistribution": distributions.update_distribution,
    "DeleteDistribution": distributions.delete_distribution,
    "ListDistributions": distributions.list_distributions,
    "CreateInvalidation": invalidations.create_invalidation,
    "GetInvalidation": invalidations.get_invalidation,
    "ListInvalidations": invalidations.list_invalidations,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "ListTagsForResource": tags.list_tags_for_resource,
}


def build(parts: Parts) -> Service:
    """The control operations. What a distribution serves is in ``pileus.edge``."""
    room = Room(parts.store, parts.clock)
    operations = {name: partial(function, room) for name, function in OPERATIONS.items()}
    return Service("cloudfront", {**operations, **configured.operations(room)}, access)
