"""Too often: per address and per network, with words that say when to try again."""

from collections.abc import Callable

import pytest
from flask import Flask

from courseapp.extensions import limiter
from tests.accounts.mailbox import mails_to
from tests.client import Client
from tests.factories import make_course, make_user

pytestmark = [pytest.mark.settings(rate_limits=True), pytest.mark.one_database]


def ask(client: Client, address: str, network: str = "192.0.2.1", page: str = "accounts.sign_in"):
    """Ask for a link from a network."""
    client.environ_base["REMOTE_ADDR"] = network
    return client.submit(page, {"address": address})


def test_one_address_gets_five_mails_in_a_quarter_of_an_hour_from_wherever_they_are_asked_for(client: Client) -> None:
    for number in range(5):
        assert ask(client.application.test_client(), "ada@example.org", f"192.0.2.{number}").status_code == 303
    answer = ask(client, " ADA@example.org", "192.0.2.99")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "try again in about 15 minutes" in answer.text
    assert len(mails_to("ada@example.org")) == 5
    assert ask(client, "bob@example.org", "192.0.2.99").status_code == 303


def test_every_form_that_mails_counts_for_the_address(client: Client) -> None:
    make_course()
    for _ in range(3):
        assert ask(client.application.test_client(), "ada@example.org", page="learning.start").status_code == 303
    for _ in range(2):
        assert ask(client, "ada@example.org").status_code == 303
    assert ask(client.application.test_client(), "ada@example.org", page="learning.start").status_code == 429
    mover = client.application.test_client()
    mover.sign_in(make_user())
    answer = mover.submit("accounts.settings", {"new_address": "Ada@example.org"}, to="accounts.change_address")
    assert answer.status_code == 429
    assert len(mails_to("ada@example.org")) == 5


def test_an_address_is_the_same_however_it_is_written(client: Client) -> None:
    for written in ("ada@example.org", "ADA@Example.org", "ada@\uff45xample.org", "ada@e\uff58ample.org", "ada@ex\uff41mple.org"):
        assert ask(client, written).status_code == 303
    assert ask(client, "ada@exa\uff4dple.org").status_code == 429
    assert len(mails_to("ada@example.org")) == 5


@pytest.mark.parametrize("page", ["accounts.sign_in", "accounts.sign_in_with_password", "learning.start"])
def test_what_is_no_form_is_refused_in_words_for_no_limit_would_see_its_address(client: Client, page: str) -> None:
    make_course()
    token = client.csrf_token()
    fields = {"address": "ada@example.org", "pw-address": "ada@example.org", "pw-password": "wrong"}
    answer = client.post(client.path(page), json=fields, headers={"X-CSRFToken": token})
    assert answer.status_code == 400
    assert "takes forms alone" in answer.text
    assert mails_to("ada@example.org") == []


def test_a_field_that_the_form_does_not_have_gives_no_further_mails(client: Client) -> None:
    client.sign_in(make_user())
    for number in range(6):
        fields = {"new_address": "ada@example.org", "address": f"person{number}@example.org"}
        answer = client.submit("accounts.settings", fields, to="accounts.change_address")
        assert answer.status_code == (429 if number == 5 else 303)
    assert len(mails_to("ada@example.org")) == 5


def test_one_network_causes_sixty_mails_an_hour_at_most(client: Client) -> None:
    token = client.csrf_token()
    for number in range(61):
        answer = client.post(client.path("accounts.sign_in"), data={"csrf_token": token, "address": f"person{number}@example.org"})
    assert answer.status_code == 429
    assert "Retry-After" in answer.headers


def test_a_forwarded_address_is_not_believed_without_a_proxy(client: Client) -> None:
    token = client.csrf_token()
    for number in range(61):
        headers = {"X-Forwarded-For": f"203.0.113.{number}"}
        answer = client.post(
            client.path("accounts.sign_in"), headers=headers, data={"csrf_token": token, "address": f"person{number}@example.org"}
        )
    assert answer.status_code == 429


def test_starting_without_an_address_is_not_counted_as_mail(client: Client) -> None:
    make_course()
    for _ in range(7):
        assert client.application.test_client().submit("learning.start").status_code == 303


def test_guessing_a_password_is_slowed_while_the_mailed_link_still_lets_the_owner_in(client: Client) -> None:
    make_user("ada@example.org", password="three quiet owls by the river")
    answers = []
    for number in range(12):
        wrong = {"pw-address": " " * number + "Ada@example.org", "pw-password": "wrong"}
        answers.append(client.submit("accounts.sign_in", wrong, to="accounts.sign_in_with_password").status_code)
    assert answers == [200] * 10 + [429] * 2
    assert ask(client, "ada@example.org").status_code == 303


def test_pages_that_only_show_something_are_never_refused(client: Client) -> None:
    for _ in range(70):
        assert client.visit("accounts.sign_in").status_code == 200


@pytest.mark.settings(rate_limits=False)
def test_with_redis_gone_the_limits_count_on_in_memory(app: Flask, make_app: Callable[..., Flask]) -> None:
    alone = make_app(redis_url="redis://127.0.0.1:1/0", rate_limits=False)
    limiter.enabled = True
    answers = [ask(alone.test_client(), "ada@example.org").status_code for _ in range(6)]
    limiter.enabled = False
    assert answers[:4] == [303] * 4  # the request that finds Redis gone is counted twice
    assert answers[-1] == 429
