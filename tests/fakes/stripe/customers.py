"""Customers."""

from typing import Any

import stripe
from stripe import params as shape

from tests.fakes.stripe import subscribing
from tests.fakes.stripe.books import Books
from tests.fakes.stripe.routing import Given, apply, route, without_expand
from tests.fakes.stripe.wire import Thing, within

CUSTOMER = "address description email invoice_settings metadata name phone preferred_locales shipping tax_exempt"


@route("POST /v1/customers", shape.CustomerCreateParams, f"{CUSTOMER} balance")
def create_customer(books: Books, given: Given) -> Thing:
    """A customer; e-mail addresses need not be unique, as with Stripe."""
    return new_customer(books, **without_expand(given.params))


def new_customer(books: Books, **values: Any) -> Thing:
    """A customer without a card."""
    usual = {"balance": 0, "delinquent": False, "invoice_prefix": books.new_id("")[1:9].upper(), "next_invoice_sequence": 1}
    more = {"tax_exempt": "none", "metadata": {}, "preferred_locales": [], "invoice_settings": {}}
    return books.make(stripe.Customer, "cus", {**usual, **more, **values}, "customer.created")


@route("POST /v1/customers/{id}", shape.CustomerUpdateParams, f"{CUSTOMER} balance")
def update_customer(books: Books, given: Given) -> Thing:
    """Change what is given."""
    with books.change(books.find("customer", given.id), "customer.updated") as customer:
        apply(customer, given, *CUSTOMER.replace("metadata", "").replace("invoice_settings", "").split(), "balance")
        customer["invoice_settings"].update(given.params.get("invoice_settings", {}))
    return customer


@route("DELETE /v1/customers/{id}", shape.CustomerDeleteParams)
def delete_customer(books: Books, given: Given) -> Thing:
    """Also ends their subscriptions at once."""
    customer = books.find("customer", given.id)
    for subscription in books.all("subscription", customer=given.id):
        if subscription["status"] not in subscribing.ENDED:
            subscribing.end(books, subscription, "cancellation_requested")
    gone = books.remove(customer, "customer.deleted")
    books.keep(dict(gone))  # it can still be retrieved, as deleted
    return gone


@route("GET /v1/customers/{id}", shape.CustomerRetrieveParams)
def customer_of(books: Books, given: Given) -> Thing:
    """One customer; a deleted one says that it is."""
    return books.find("customer", given.id)


@route("GET /v1/customers", shape.CustomerListParams, "created email")
def customers(books: Books, given: Given) -> list[Thing]:
    """Customers, by e-mail address as it is written."""
    found = books.all("customer", email=given.params.get("email"))
    return [customer for customer in found if within(customer["created"], given.params.get("created"))]
