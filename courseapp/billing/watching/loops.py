"""Asking Stripe what was missed, and comparing both ways: a commit for each page of a list, no transaction open while Stripe is asked."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

import sqlalchemy as sa
import structlog

from courseapp.billing import comparing, comparing_money, reconciling, stripe_gateway
from courseapp.billing.customers import OvertakenError
from courseapp.billing.findings import MOST, Finding
from courseapp.billing.loops import refresh_checkout, refresh_invoice, refresh_payment, refresh_subscription
from courseapp.billing.missing import LOOK_BACK, keep_missed
from courseapp.billing.models import Customer, Reconciliation
from courseapp.billing.stripe_events import APPLIED
from courseapp.billing.stripe_gateway import PAGE, StripeError, StripeKeyError, StripeRefusedError, Thing
from courseapp.extensions import db

CHECKOUTS_OF = timedelta(days=7)
REFUNDS_OF = timedelta(days=30)
PAYMENTS_OF = timedelta(days=35)
SAMPLE = 5  # customers whom Stripe is asked about, to see whose key this is
REFRESH = {"checkout": refresh_checkout, "subscription": refresh_subscription, "invoice": refresh_invoice, "payment": refresh_payment}
Clock = Callable[[], datetime]
Compare = Callable[[Sequence[Thing], datetime], list[Finding]]
log = structlog.get_logger()


def find_missed(now: datetime) -> int:
    """Keep the events that no webhook brought; how many. Where Stripe cannot say, the next tick asks again."""
    count = 0
    try:
        for things in pages_of(stripe_gateway.events(now - LOOK_BACK, undelivered=True)):
            count += keep_missed(things, now)
            db.session.commit()
    except StripeError as error:
        db.session.rollback()
        log.warning("missed_events_not_asked", why=error.words)
    return count


def reconcile(clock: Clock) -> None:
    """Begin the nightly comparison where it is due, and carry out what was begun, here or by somebody on a page."""
    reconciling.begin_nightly(clock())
    db.session.commit()
    while (report := reconciling.claim(clock())) is not None:
        db.session.commit()
        compare_all(report, clock)
    db.session.rollback()


def compare_all(report: Reconciliation, clock: Clock) -> None:
    """Carry out a comparison that was claimed."""
    comparison = Comparison(report, clock)
    try:
        comparison.run()
    except StripeError as error:
        db.session.rollback()
        log.warning("comparison_broke_off", why=error.words)
        comparison.add(Finding("key_refused" if isinstance(error, StripeKeyError) else "stripe_away", facts={"said": error.words}))
    comparison.end()


def bring_in_line(finding: Finding, now: datetime) -> bool:
    """Ask Stripe about what a finding is about, and follow it, also where that closes something. False where Stripe knows nothing of it.

    Raises StripeError, OvertakenError.
    """
    if finding.refresh is None:
        return False
    name, stripe_id = finding.refresh
    return REFRESH[name](stripe_id, now) == APPLIED


def pages_of(things: Iterable[Thing]) -> Iterator[list[Thing]]:
    """What Stripe lists, as many at a time as it gives at once, so that nothing is asked while a transaction is open."""
    each = iter(things)
    while page := list(islice(each, PAGE)):
        yield page


class Comparison:
    """One comparison under way, which keeps what it found as it goes on."""

    def __init__(self, report: Reconciliation, clock: Clock) -> None:
        self._id, self._is_fixing, self._began_at = report.id, report.is_fixing, report.began_at
        self._clock = clock
        self._found: list[Finding] = []
        self._left_off = 0
        self._looked_at = report.looked_at

    def run(self) -> None:
        """Compare everything. Raises StripeError."""
        now = self._clock()
        if self._is_of_another_account() or not self._compare_subscriptions():
            self.add(Finding("wrong_key"))
            return
        last = reconciling.last_success()
        db.session.commit()
        checkouts, refunds, payments = (reconciling.reaching_back(window, last, now) for window in (CHECKOUTS_OF, REFUNDS_OF, PAYMENTS_OF))
        self._look(stripe_gateway.checkout_sessions(checkouts), comparing.compare_checkouts)
        self._look(self._sessions_under_way(), comparing.compare_checkouts)
        self._look(stripe_gateway.invoices(since=payments), comparing_money.compare_invoices)
        self._look(stripe_gateway.refunds(since=refunds), comparing_money.compare_refunds)
        self._look(stripe_gateway.disputes(since=refunds), comparing_money.Disputes().compare)
        self._look_at_own(lambda after: comparing_money.loose_access(after, self._clock()))
        self._look_at_own(lambda _after: (comparing_money.second_customers(), None))

    def add(self, finding: Finding) -> None:
        """Note what was found; of very much only how much."""
        if len(self._found) < MOST:
            self._found.append(finding)
        else:
            self._left_off += 1

    def end(self) -> None:
        """Write down that it has ended, and have owners told of what is new."""
        if self._left_off:
            self._found.append(Finding("more", facts={"count": self._left_off}))
        now = self._clock()
        report = self._keep()
        if report is not None:
            report.ended_at = now
            reconciling.tell_of(report, now)
        db.session.commit()

    def _is_of_another_account(self) -> bool:
        """Whether Stripe knows none of our latest customers."""
        ids = db.session.scalars(sa.select(Customer.stripe_id).order_by(Customer.id.desc()).limit(SAMPLE)).all()
        db.session.commit()
        return bool(ids) and all(stripe_gateway.customer(stripe_id) is None for stripe_id in ids)

    def _compare_subscriptions(self) -> bool:
        """Compare them; False, with nothing changed, where Stripe lists none that is ours though some are open here."""
        subscriptions = comparing.Subscriptions()
        listed = pages_of(stripe_gateway.subscriptions())
        first = next(listed, [])
        found = subscriptions.compare(first, self._clock())
        if not first and comparing.has_open_subscriptions():
            db.session.commit()
            return False
        self._settle(first, found, subscriptions.compare)
        for things in listed:
            self._settle(things, subscriptions.compare(things, self._clock()), subscriptions.compare)
        self._look_at_own(lambda after: subscriptions.not_listed(self._began_at, after))
        return True

    def _look(self, things: Iterable[Thing], compare: Compare) -> None:
        for page in pages_of(things):
            self._settle(page, compare(page, self._clock()), compare)

    def _sessions_under_way(self) -> Iterator[Thing]:
        """The sessions of checkouts whose money is on its way, however old they are: a bank may take weeks."""
        waiting = comparing.checkouts_under_way()
        db.session.commit()
        for stripe_id in waiting:
            session = stripe_gateway.checkout_session(stripe_id)
            if session is not None:
                yield session

    def _look_at_own(self, look: Callable[[int], tuple[list[Finding], int | None]]) -> None:
        after: int | None = 0
        while after is not None:
            found, after = look(after)
            db.session.commit()
            self._settle([], found, None)

    def _settle(self, things: Sequence[Thing], found: list[Finding], compare: Compare | None) -> None:
        """Mend what is missing of a page where that is wanted, and keep what was found."""
        db.session.commit()
        for finding in found:
            self.add(self._mended(finding, things, compare) if self._is_fixing and finding.is_missing else finding)
        self._looked_at += len(things)
        self._keep()
        db.session.commit()

    def _mended(self, finding: Finding, things: Sequence[Thing], compare: Compare | None) -> Finding:
        """The finding once what is missing was fetched; mended where comparing the same again finds it no more."""
        try:
            bring_in_line(finding, self._clock())
        except (StripeRefusedError, OvertakenError) as error:
            db.session.rollback()
            log.warning("not_mended", kind=finding.kind, why=getattr(error, "words", "overtaken"))
        its_own = [thing for thing in things if thing["id"] in finding.ids.values()]
        again = compare(its_own, self._clock()) if compare is not None else []
        db.session.commit()
        return replace(finding, is_mended=not any((each.kind, each.ids) == (finding.kind, finding.ids) for each in again))

    def _keep(self) -> Reconciliation | None:
        report = db.session.get(Reconciliation, self._id)
        if report is not None:
            report.looked_at, report.findings = self._looked_at, [finding.as_row() for finding in self._found]
        return report
