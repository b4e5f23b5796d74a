"""What payments open, said by pure functions."""

from datetime import timedelta

import pytest

from courseapp.billing.models import Closed
from courseapp.billing.standing import Access, access_by_subscription, state_of_money
from tests.conftest import NOW

LATER = NOW + timedelta(days=3)


def access(status: str, **kw) -> Access | None:
    return access_by_subscription(status, **{"past_due_since": None, "cancels_at": None, "money": None, **kw})


@pytest.mark.parametrize("status", ["active", "trialing"])
def test_a_live_subscription_is_open_without_an_end(status: str) -> None:
    assert access(status) == Access()


def test_a_cancellation_that_is_to_come_closes_then() -> None:
    assert access("active", cancels_at=LATER) == Access(until=LATER)


def test_a_late_payment_keeps_it_open_for_fourteen_days() -> None:
    assert access("past_due", past_due_since=NOW) == Access(until=NOW + timedelta(days=14))
    assert access("past_due", past_due_since=NOW, cancels_at=LATER) == Access(until=LATER)


@pytest.mark.parametrize("status", ["unpaid", "canceled", "incomplete", "incomplete_expired", "paused"])
def test_what_is_not_paid_opens_nothing(status: str) -> None:
    assert access(status) == Access(Closed.LAPSED)


def test_an_unknown_status_says_nothing() -> None:
    assert access("on_the_moon") is None
    assert access("on_the_moon", money=Closed.REFUNDED) is None


@pytest.mark.parametrize("money", [Closed.REFUNDED, Closed.DISPUTED, Closed.LOST])
def test_money_that_went_back_closes_a_live_subscription(money: Closed) -> None:
    assert access("active", money=money) == Access(money)


@pytest.mark.parametrize(
    ("amount", "gone_back", "disputed", "expected"),
    [
        (900, 0, None, None),
        (900, 899, None, None),
        (900, 900, None, Closed.REFUNDED),
        (900, 1000, None, Closed.REFUNDED),
        (0, 0, None, None),
        (900, 0, "needs_response", Closed.DISPUTED),
        (900, 0, "under_review", Closed.DISPUTED),
        (900, 0, "warning_needs_response", None),
        (900, 0, "won", None),
        (900, 0, "prevented", None),
        (900, 0, "appeal_under_review", Closed.LOST),
        (900, 900, "lost", Closed.LOST),
    ],
)
def test_what_has_become_of_money(amount: int, gone_back: int, disputed: str | None, expected: Closed | None) -> None:
    assert state_of_money(amount, gone_back, disputed) is expected
