"""Bringing our tiers in line with Stripe: a step, a commit; killed anywhere, the next run goes on from what is there."""

import enum
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from flask import current_app
from flask_babel import gettext as _

from courseapp.billing import stripe_gateway
from courseapp.billing.models import Plan, Price, Tier
from courseapp.billing.stripe_gateway import StripeError, StripeRefusedError, Thing
from courseapp.billing.syncing import Doing, Ours, Step, Theirs, statement_of, steps_between, what_we_sell
from courseapp.config import Settings
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.site import present_site

Clock = Callable[[], datetime]


class Outcome(enum.StrEnum):
    """What became of a step: it is still to do, was done, could not be, or needs somebody."""

    PLANNED = "planned"
    DONE = "done"
    FAILED = "failed"
    TOLD = "told"


@dataclass(frozen=True)
class Line:
    """One line of the report."""

    outcome: Outcome
    words: str

    @property
    def is_wrong(self) -> bool:
        """Whether somebody must look at it."""
        return self.outcome in {Outcome.FAILED, Outcome.TOLD}


def planned_steps() -> list[Line]:
    """What a run would do now; nothing is changed. Raises StripeError."""
    return [
        Line(Outcome.TOLD if step.doing is Doing.TELL else Outcome.PLANNED, step.words) for step in steps_between(ours_now(), theirs_now())
    ]


def bring_in_line(clock: Clock, by: int | None = None) -> list[Line]:
    """Do all that is to be done, and tell it. Raises StripeError where Stripe cannot be asked at all; later the last line says so."""
    lines, failed = list[Line](), set[str]()
    for step in steps_between(ours_now(), theirs_now()):
        if step.doing is Doing.TELL:
            lines.append(Line(Outcome.TOLD, step.words))
        elif step.key not in failed:
            try:
                take_step(step, clock())
            except StripeRefusedError as error:
                failed.add(step.key)
                lines.append(Line(Outcome.FAILED, f"{step.words}: {error.words}"))
            except StripeError as error:
                lines.append(Line(Outcome.FAILED, f"{step.words}: {error.words}"))
                lines.append(Line(Outcome.FAILED, _("The rest was not done. What was done stays; run it again to do the rest.")))
                break
            else:
                lines.append(Line(Outcome.DONE, step.words))
    if any(line.outcome is Outcome.DONE for line in lines):
        events.record("billing_synced", "billing:0", clock(), steps=sum(line.outcome is Outcome.DONE for line in lines), by=by)
    db.session.commit()
    return lines


def ours_now() -> Ours:
    """Our side, read in a transaction that ends here."""
    settings: Settings = current_app.config["SETTINGS"]
    found = what_we_sell(statement_of(settings.statement_words, present_site().name))
    db.session.rollback()
    return found


def theirs_now() -> Theirs:
    """Stripe's side. Raises StripeError."""
    products = {one["id"]: one for one in stripe_gateway.products()}
    return Theirs(products, {one["id"]: one for one in stripe_gateway.prices()})


def take_step(step: Step, now: datetime) -> None:
    """Ask Stripe, with no transaction open, then write down what came of it and commit. Raises StripeError."""
    stripe_id = step.stripe_id
    if step.doing is Doing.MAKE:
        params = step.params if step.kind == "products" else {**step.params, "product": product_for(step)}
        stripe_id = stripe_gateway.create(step.kind, params, key_of(step, params, now))["id"]
    elif step.doing is Doing.CHANGE:
        stripe_gateway.update(step.kind, stripe_id, step.params)
    if step.doing is Doing.TAKE:
        take_over(step, now)
    elif step.kind == "products":
        db.session.execute(sa.update(Tier).where(Tier.id == step.about).values(product_id=stripe_id))
    else:
        db.session.execute(sa.update(Price).where(Price.id == step.about).values(stripe_id=stripe_id))
    db.session.commit()


def key_of(step: Step, params: Thing, now: datetime) -> str:
    """The idempotency key of a wish: the same for runs side by side. A later run looks for what is there, and has a key of its
    own, for Stripe answers a key that once failed with the same failure for a day.
    """
    wish = json.dumps([step.kind, step.about, step.stripe_id, params, f"{now:%Y-%m-%d %H:%M}"], sort_keys=True)
    return f"sync-{hashlib.sha256(wish.encode()).hexdigest()[:40]}"


def product_for(step: Step) -> str:
    """The product of a price that is to be made. Raises StripeRefusedError where it could not be made."""
    found = db.session.scalar(sa.select(Tier.product_id).join(Plan).join(Price).where(Price.id == step.about))
    db.session.rollback()
    if found is None:
        raise StripeRefusedError(_("its product could not be made"))
    return found


def take_over(step: Step, now: datetime) -> None:
    """Retire a price of ours for one that was made at Stripe; where we had that one before, it is offered again."""
    old = db.session.scalar(sa.select(Price).where(Price.id == step.about, Price.retired_at.is_(None)).with_for_update())
    if old is None:
        return
    old.retired_at = now
    db.session.flush()
    before = db.session.scalar(sa.select(Price).where(Price.stripe_id == step.stripe_id))
    if before is not None:
        before.retired_at = None
    else:
        facts = {"plan_id": old.plan_id, "currency": old.currency, "amount": step.params["amount"], "stripe_id": step.stripe_id}
        db.session.add(Price(**facts, created_at=now))
