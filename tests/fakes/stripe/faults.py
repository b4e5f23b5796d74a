"""Answers of the API that go wrong because a test wants them to."""

import threading
from dataclasses import dataclass
from typing import Literal

from tests.fakes.stripe.wire import ApiError

What = Literal["500", "503", "429", "403", "hang", "drop"]


@dataclass
class Fault:
    """What goes wrong.

    Attributes:
        what: a status, `hang` (no answer for `seconds`), or `drop` (the line breaks).
        times: how often; None for ever.
        path, method: only for paths that begin so, and for this method; empty for all.
        after: the request is carried out first, and only its answer is lost or an error.
        seconds: how long to hang.
        should_retry: Stripe's header of that name; None for what Stripe would say.
    """

    what: What
    times: int | None = 1
    path: str = ""
    method: str = ""
    after: bool = False
    seconds: float = 30.0
    should_retry: bool | None = None


class Faults:
    """The faults that are still to come, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.coming: list[Fault] = []

    def next(self, method: str, path: str) -> Fault | None:
        """The fault for this request, used up by one."""
        with self._lock:
            for fault in self.coming:
                if fault.times != 0 and path.startswith(fault.path) and fault.method in {"", method}:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None


def error_of(fault: Fault) -> ApiError:
    """The body that Stripe sends with such a status."""
    match fault.what:
        case "429":
            return ApiError(429, "Request rate limit exceeded. Learn more about rate limits here.", code="rate_limit")
        case "403":
            words = "The provided key 'rk_test_*********' does not have the required permissions for this endpoint."
            return ApiError(403, words, code="more_permissions_required")
        case "503":
            return ApiError(503, "Stripe is temporarily unavailable.", type="api_error")
    return ApiError(500, "An unknown error occurred.", type="api_error")
