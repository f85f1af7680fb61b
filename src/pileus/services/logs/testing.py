"""TestMetricFilter: try a filter pattern on given lines.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_TestMetricFilter.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.logs.pattern import compile_pattern, extract
from pileus.services.logs.room import Room


def test_metric_filter(room: Room, call: Call) -> dict[str, Any]:
    """Which lines match, and the fields a space-delimited pattern cuts from them."""
    pattern = call.params["filterPattern"]
    matches = compile_pattern(pattern)
    return {
        "matches": [
            {"eventNumber": at, "eventMessage": line, "extractedValues": extract(pattern, line)}
            for at, line in enumerate(call.params["logEventMessages"], 1)
            if matches(line)
        ]
    }
