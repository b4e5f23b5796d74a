"""Addresses: what counts as one, when two are the same, and how little is kept of a network."""

import hashlib
import ipaddress
import threading

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from courseapp.contacts.address import address_hint, address_key, address_mac, clean_address, network_of
from courseapp.contacts.models import Contact, SuppressionReason
from courseapp.contacts.people import contact_for, contact_of_address, forget_address
from courseapp.contacts.suppression import suppress
from courseapp.errors import Refusal
from courseapp.extensions import db
from tests.conftest import NOW
from tests.factories import make_contact
from tests.rows import all_rows, tables_that_hold


@pytest.mark.parametrize(
    "typed", [" ada@example.org ", "Ada.Lovelace+course@sub.example.org", "o'brien@example.org", "jörg@example.org", "a@bücher.example"]
)
def test_addresses_that_exist_in_the_wild_are_taken(app: Flask, typed: str) -> None:
    contact = contact_for(typed, NOW)
    assert contact_of_address(typed) is contact
    assert contact_for(typed, NOW).id == contact.id


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ada",
        "ada@",
        "@x.org",
        "a b@x.org",
        "a@b@c.org",
        "a@x..org",
        ".a@x.org",
        "a@x.org\nBcc: b@x.org",
        "a\0@x.org",
        "ß" * 60 + "@" + ".".join(["ß" * 40] * 4) + ".org",
    ],
)
def test_what_is_no_address_is_refused_with_words_and_400(app: Flask, typed: str) -> None:
    with pytest.raises(Refusal) as caught:
        contact_for(typed, NOW)
    assert caught.value.status == 400
    assert "name@example.org" in caught.value.words


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("ß" * 32 + "@example.org")
@given(st.one_of(st.text(max_size=40), st.emails(), st.builds("{}@example.org".format, st.text(min_size=1, max_size=64))))
@pytest.mark.one_database
def test_whatever_is_typed_is_refused_or_kept_on_one_line_and_found_again(app: Flask, typed: str) -> None:
    try:
        address = clean_address(typed)
    except Refusal:
        return
    assert not set(address) & set("\r\n\0 <>,")
    assert address.count("@") == 1
    assert max(len(address), len(address_key(address))) <= 254
    assert clean_address(address) == address
    assert address_mac(address) == address_mac(address.upper().lower()) or not address.isascii()


def test_two_who_type_a_new_address_at_once_share_one_contact(app: Flask) -> None:
    db.session.commit()
    barrier, ids = threading.Barrier(4), []

    def act(number: int) -> None:
        with app.app_context():
            barrier.wait()
            ids.append(contact_for(["Ada@example.org", "ada@example.org"][number % 2], NOW).id)
            db.session.commit()

    threads = [threading.Thread(target=act, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(ids) == 4
    assert len(set(ids)) == 1


def test_typing_a_known_address_changes_nothing_about_it(app: Flask) -> None:
    made = make_contact("Ada@example.org", first_name="Ada", zone="Europe/Berlin", language="de")
    found = contact_for("ADA@EXAMPLE.ORG", NOW, "UTC", "en")
    assert (found.id, found.address, found.zone, found.language, found.first_name) == (
        made.id,
        "Ada@example.org",
        "Europe/Berlin",
        "de",
        "Ada",
    )


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("2001:db8::beef:1", "2001:db8::"),
        ("2001::dead:beef", "2001::"),
        ("::1", "::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        (None, None),
        ("unknown", None),
        ("", None),
    ],
)
def test_of_an_ip_address_only_its_network_is_kept(ip: str | None, network: str | None) -> None:
    assert network_of(ip) == network


@given(st.ip_addresses())
def test_a_kept_network_is_an_address_without_its_owners_part(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    kept = ipaddress.ip_address(network_of(str(address)))
    assert int(kept) & ((1 << (8 if kept.version == 4 else 80)) - 1) == 0


def test_a_hint_shows_the_first_letter_and_the_domain() -> None:
    assert address_hint("ada@example.org") == "a…@example.org"
    assert address_hint(None) is None


def test_a_suppression_is_a_hash_said_once_that_survives_the_contact(app: Flask) -> None:
    contact = make_contact("ada@example.org")
    for _ in range(2):
        suppress(address_mac("Ada@example.org"), SuppressionReason.BOUNCED, NOW)
    forget_address(contact, NOW)
    db.session.commit()
    assert len(all_rows()["suppressions"]) == 1
    assert tables_that_hold("ada@example.org") == []


def test_the_hash_of_an_address_needs_the_secret(app: Flask) -> None:
    assert address_mac("ada@example.org") != hashlib.sha256(b"ada@example.org").hexdigest()
    was, app.config["SECRET_KEY"] = app.config["SECRET_KEY"], "another secret, long enough to be one"
    other = address_mac("ada@example.org")
    app.config["SECRET_KEY"] = was
    assert address_mac("ada@example.org") != other


def test_an_erased_address_may_come_back_as_a_new_contact(app: Flask) -> None:
    first = make_contact("ada@example.org")
    forget_address(first, NOW)
    again = contact_for("ada@example.org", NOW)
    assert again.id != first.id
    assert db.session.query(Contact).count() == 2
