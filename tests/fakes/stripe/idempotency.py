"""Idempotency keys, by Stripe's page "Idempotent requests".

The first answer to a key is kept and given again, be it an error 500. It is kept once the request has begun to be carried out:
what was refused before that (parameters, rate limit, a key in use) is not kept, and the key may be used again.
"""

import json
import threading
from dataclasses import dataclass

from tests.fakes.stripe.books import DAY
from tests.fakes.stripe.wire import ApiError, Thing

KEPT_FOR = DAY
LONGEST = 255


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str]


class Keys:
    """The keys that were used within a day of the server's clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, int, Answer | None]] = {}  # key → what was asked, when, the answer (None: under way)

    def begin(self, key: str, method: str, path: str, params: Thing, now: int) -> Answer | None:
        """The answer that is kept, or None: go on, and then `keep` or `forget`. Raises ApiError 400 or 409."""
        if len(key) > LONGEST:
            raise ApiError(400, f"Idempotency keys may be at most {LONGEST} characters long.", type="idempotency_error")
        asked = json.dumps([method, path, params], sort_keys=True)
        with self._lock:
            before = self._kept.get(key)
            if before is None or now - before[1] >= KEPT_FOR:
                self._kept[key] = (asked, now, None)
                return None
        if before[0] != asked:
            words = "Keys for idempotent requests can only be used with the same parameters they were first used with."
            raise ApiError(
                400, f"{words} Try using a key other than '{key}' if you meant to execute a different request.", type="idempotency_error"
            )
        if before[2] is None:
            words = f"There is currently another in-progress request using this Idempotent Key: {key}. Please try again later."
            raise ApiError(409, words, code="idempotency_key_in_use", type="idempotency_error")
        return before[2]

    def keep(self, key: str, answer: Answer) -> None:
        """Give this answer again from now on."""
        with self._lock:
            asked, moment, _none = self._kept[key]
            self._kept[key] = (asked, moment, answer)

    def forget(self, key: str) -> None:
        """It was not carried out; a key with an answer stays."""
        with self._lock:
            if key in self._kept and self._kept[key][2] is None:
                del self._kept[key]
