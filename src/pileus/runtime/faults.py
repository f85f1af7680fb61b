"""The error objects of a worker's end, worded as Lambda words them."""

from __future__ import annotations

import json
import signal

ANSWER_BYTES_MAX = 6_291_556  # as AWS's own error message counts it


def exit_error(request_id: str, status: int) -> bytes:
    """AWS's error for a runtime process that ended by itself or was killed."""
    if status < 0:
        name = "killed" if status == -signal.SIGKILL else signal.strsignal(-status)
        reason = f"Runtime exited with error: signal: {str(name).lower()}"
    elif status:
        reason = f"Runtime exited with error: exit status {status}"
    else:
        reason = "Runtime exited without providing a reason"
    text = f"RequestId: {request_id} Error: {reason}"
    return json.dumps({"errorType": "Runtime.ExitError", "errorMessage": text}).encode()


def too_large_error(most: int = ANSWER_BYTES_MAX) -> bytes:
    text = f"Response payload size exceeded maximum allowed payload size ({most} bytes)."
    return json.dumps({"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"}).encode()


def truncated_error(request_id: str) -> bytes:
    """The worker closed its connection before its answer was complete."""
    text = f"RequestId: {request_id} Error: the response stream was closed before its end"
    error = {"errorType": "Runtime.TruncatedResponse", "errorMessage": text}
    return json.dumps(error).encode()
