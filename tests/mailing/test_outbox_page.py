"""The outbox page: in the embedded mode, on loopback, for this machine alone."""

import pytest
from flask import Flask

from tests.client import Client
from tests.factories import make_contact, make_letter, make_message
from tests.mailing.conftest import make_sign_in_mail

PRODUCTION = {
    "mode": "production",
    "base_url": "https://learn.example",
    "postal_address": "1 Road",
    "sender_address": "us@learn.example",
    "smtp_url": "smtp://127.0.0.1:1",
    "allow_sqlite": True,
}


def pages_of(client: Client) -> list[str]:
    """Every page of the outbox."""
    message = make_sign_in_mail("ada@example.org")
    return [
        client.path("mailing.outbox"),
        client.path("mailing.outbox_message", id=message.public_id),
        client.path("mailing.outbox_html", id=message.public_id),
    ]


def test_here_it_shows_what_leaves_with_its_link(client: Client, drain) -> None:
    listed, one, html = pages_of(client)
    page = client.get(listed).text
    assert "Your link to sign in" in page
    assert "<td>Service mail</td>" in page
    assert "<td>waiting</td>" in page
    assert "canary-token" in client.get(one).text
    drain()
    assert "canary-token" in client.get(one).text
    assert "canary-token" in client.get(html).text


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "::2", "2001:db8::1"])
def test_for_another_machine_there_is_no_such_page(client: Client, address: str) -> None:
    for path in pages_of(client):
        assert client.get(path, environ_base={"REMOTE_ADDR": address}).status_code == 404
        assert client.get(path, environ_base={"REMOTE_ADDR": address}, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404


@pytest.mark.settings(**PRODUCTION)
def test_in_production_there_is_no_such_page(client: Client) -> None:
    assert [client.get(path, base_url="https://localhost").status_code for path in pages_of(client)] == [404, 404, 404]


@pytest.mark.settings(host="0.0.0.0")
def test_where_other_machines_can_reach_the_server_there_is_no_such_page(client: Client) -> None:
    assert [client.get(path).status_code for path in pages_of(client)] == [404, 404, 404]


def test_a_mail_is_shown_in_a_frame_that_runs_and_loads_nothing(client: Client) -> None:
    message = make_message(letter=make_letter(body="<script>alert(1)</script>"))
    answer = client.visit("mailing.outbox_html", id=message.public_id)
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "allow-scripts" not in policy


def test_there_is_no_page_of_a_mail_that_never_was(client: Client) -> None:
    assert client.visit("mailing.outbox_message", id="nothing").status_code == 404


def test_older_mails_are_a_page_away(client: Client) -> None:
    for number in range(31):
        make_message(make_contact(f"person{number}@example.org"))
    first = client.visit("mailing.outbox").text
    assert first.count("@example.org</td>") == 30
    assert "person0@example.org" not in first
    assert "before=" in first


def test_a_mail_to_somebody_erased_is_listed_without_an_address(app: Flask, client: Client) -> None:
    message = make_message()
    message.contact.address = message.contact.address_key = None
    assert client.visit("mailing.outbox").status_code == 200
    assert client.visit("mailing.outbox_message", id=message.public_id).status_code == 200
