"""Refunds and disputes."""

import stripe
from stripe import params as shape

from tests.fakes.stripe.books import DAY, Books
from tests.fakes.stripe.routing import Given, apply, route
from tests.fakes.stripe.wire import ApiError, Thing, within


@route("POST /v1/refunds", shape.RefundCreateParams, "amount charge metadata payment_intent reason")
def create_refund(books: Books, given: Given) -> Thing:
    """Give back all that is left of a charge, or a part."""
    params = given.params
    charge = _charge_for(books, params)
    if charge["refunded"]:
        raise ApiError(400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if charge["disputed"] and not books.note(charge["id"]).get("won"):
        raise ApiError(400, f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    left = charge["amount"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    if not 0 < amount <= left:
        words = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise ApiError(400, words if amount > 0 else "Invalid positive integer", param="amount")
    return refund(books, charge, amount, params.get("reason"), params.get("metadata", {}))


def refund(books: Books, charge: Thing, amount: int, reason: str | None, metadata: Thing) -> Thing:
    """Make a refund, by the API or by staff at Stripe's own pages."""
    made = books.make(stripe.Refund, "re", {
        "amount": amount, "charge": charge["id"], "currency": charge["currency"], "customer": charge["customer"],
        "payment_intent": charge["payment_intent"], "payment_method": charge["payment_method"], "reason": reason, "metadata": metadata,
        "status": books.settings["refunds"], "destination_details": {"type": "card", "card": {"type": "refund"}},
    })  # fmt: skip
    books.announce("refund.created", made)
    with books.change(charge, "charge.refunded"):
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    return made


def _charge_for(books: Books, params: Thing) -> Thing:
    if ("charge" in params) == ("payment_intent" in params):
        raise ApiError(400, "One of the following params should be provided for this request: payment_intent or charge.")
    wanted = params.get("charge")
    if wanted is None:
        intent = books.find("payment_intent", params["payment_intent"], "payment_intent")
        wanted = intent["latest_charge"]
        if intent["status"] != "succeeded":
            words = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
            raise ApiError(400, words, code="payment_intent_unexpected_state")
    charge = books.find("charge", wanted, "charge")
    if charge["status"] != "succeeded":
        raise ApiError(400, f"Charge {wanted} has not succeeded.", code="charge_not_refundable")
    return charge


def finish_refund(books: Books, made: Thing, succeeds: bool) -> None:
    """A refund that was pending arrives; or any refund comes back from the bank."""
    with books.change(made, "refund.updated"):
        made["status"] = "succeeded" if succeeds else "failed"
        made["failure_reason"] = None if succeeds else "lost_or_stolen_card"
    if succeeds:
        return
    books.announce("refund.failed", made)
    charge = books.kept[made["charge"]]
    with books.change(charge, "charge.updated"):
        charge["amount_refunded"] -= made["amount"]
        charge["refunded"] = False


@route("GET /v1/refunds/{id}", shape.RefundRetrieveParams)
def refund_of(books: Books, given: Given) -> Thing:
    """One refund."""
    return books.find("refund", given.id)


@route("POST /v1/refunds/{id}", shape.RefundUpdateParams, "metadata")
def update_refund(books: Books, given: Given) -> Thing:
    """Metadata alone can be changed."""
    with books.change(books.find("refund", given.id), "refund.updated") as made:
        apply(made, given)
    return made


@route("GET /v1/refunds", shape.RefundListParams, "charge created payment_intent")
def refunds(books: Books, given: Given) -> list[Thing]:
    """Refunds, by charge or payment intent."""
    params = given.params
    found = books.all("refund", charge=params.get("charge"), payment_intent=params.get("payment_intent"))
    return [made for made in found if within(made["created"], params.get("created"))]


# --- disputes ---


def open_dispute(books: Books, charge: Thing, reason: str) -> Thing:
    """A customer told their bank that the charge is wrong: the money is gone until it is decided."""
    if charge["disputed"]:
        raise ApiError(400, f"Charge {charge['id']} is disputed already.")
    dispute = books.make(stripe.Dispute, "dp", {
        "amount": charge["amount"], "charge": charge["id"], "currency": charge["currency"], "payment_intent": charge["payment_intent"],
        "reason": reason, "status": "needs_response", "metadata": {}, "livemode": False,
        "evidence_details": {"due_by": books.now() + 9 * DAY, "submission_count": 0, "submission_method": "not_submitted"},
    })  # fmt: skip
    charge["disputed"] = True
    books.announce("charge.dispute.created", dispute)
    books.announce("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(books: Books, dispute: Thing, is_won: bool) -> None:
    """The bank has decided. The charge stays marked as disputed either way."""
    with books.change(dispute, "charge.dispute.updated", "charge.dispute.closed"):
        dispute["status"] = "won" if is_won else "lost"
    if is_won:
        books.note(dispute["charge"])["won"] = True
        books.announce("charge.dispute.funds_reinstated", dispute)


@route("GET /v1/disputes/{id}", shape.DisputeRetrieveParams)
def dispute_of(books: Books, given: Given) -> Thing:
    """One dispute."""
    return books.find("dispute", given.id)


@route("GET /v1/disputes", shape.DisputeListParams, "charge created payment_intent")
def disputes(books: Books, given: Given) -> list[Thing]:
    """Disputes, by charge or payment intent."""
    params = given.params
    found = books.all("dispute", charge=params.get("charge"), payment_intent=params.get("payment_intent"))
    return [dispute for dispute in found if within(dispute["created"], params.get("created"))]
