"""Numbers for Prometheus, counted when asked. None of them can tell one safety outcome from another."""

from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from courseapp.billing import reconciling, stripe_events
from courseapp.billing.selling import is_selling
from courseapp.extensions import db
from courseapp.learning.models import Enrolment
from courseapp.mailing.standing import oldest_due, states_of_outbox
from courseapp.operations.health import readiness

MEDIA_TYPE = CONTENT_TYPE_LATEST


class _Numbers:
    """What is counted, as Prometheus's client wants it."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        checks = GaugeMetricFamily("courseapp_ready", "1 where a part is well", labels=["part"])
        for check in readiness(self._now):
            checks.add_metric([check.name], float(check.ok))
        yield checks
        outbox = GaugeMetricFamily("courseapp_outbox_messages", "Messages by state", labels=["state"])
        for state, count in states_of_outbox().items():
            outbox.add_metric([state], count)
        yield outbox
        oldest = oldest_due(self._now)
        waits = (self._now - oldest).total_seconds() if oldest else 0.0
        yield GaugeMetricFamily("courseapp_outbox_oldest_due_seconds", "How long the oldest due message has waited", value=waits)
        people = db.session.execute(sa.select(sa.func.count(), sa.func.count(Enrolment.finished_at)).select_from(Enrolment)).one()
        yield GaugeMetricFamily("courseapp_enrolments", "Enrolments", value=people[0])
        yield GaugeMetricFamily("courseapp_enrolments_finished", "Enrolments whose course was finished", value=people[1])
        if is_selling():
            yield from self._of_money()

    def _of_money(self) -> Iterator[Metric]:
        late = stripe_events.count_late(self._now)
        yield GaugeMetricFamily("courseapp_billing_events_late", "Events of Stripe's that have been open for over 10 minutes", value=late)
        compared = reconciling.last_success()
        if compared is not None:
            words = "When what stands here was last compared with Stripe, in Unix time"
            yield GaugeMetricFamily("courseapp_billing_compared_timestamp_seconds", words, value=compared.timestamp())


def exposition(now: datetime) -> bytes:
    """The numbers in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(now))
    return generate_latest(registry)
