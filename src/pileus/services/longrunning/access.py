"""Which permissions each operation needs, on which ARN."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.services.call import Access, Call
from pileus.services.longrunning.describe import arn_of
from pileus.services.longrunning.operations import TRUSTED
from pileus.services.longrunning.settings import name_of


def access(call: Call) -> Sequence[Access]:
    """``pileus:OPERATION`` on the service, and ``iam:PassRole`` on the role it is given."""
    action, params = f"pileus:{call.operation}", call.params
    if call.operation == "ListServices":
        return [Access(action, "*")]
    names = params.get("Names") or [params.get("Name")]
    names = names if isinstance(names, list) else [names]
    found = [
        Access(action, arn_of(call.region, call.account, name_of({"Name": name}))) for name in names
    ]
    if params.get("Role"):
        context = {"iam:PassedToService": TRUSTED}
        found.append(Access("iam:PassRole", str(params["Role"]), context=context))
    return found
