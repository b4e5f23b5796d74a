"""Roles: several per person; an owner passes everywhere; for everyone else staff pages are not there."""

import pytest
import sqlalchemy as sa

from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.accounts.people import account_for, grant_role
from courseapp.extensions import db
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_course, make_guest, make_user


@pytest.mark.parametrize(
    ("roles", "status"),
    [((), 404), (("marketer",), 404), (("instructor",), 200), (("owner",), 200), (("marketer", "instructor"), 200)],
)
def test_staff_pages_open_by_role_and_are_not_there_without(client: Client, roles: tuple[str, ...], status: int) -> None:
    make_course()
    client.sign_in(make_user(roles=roles))
    assert client.visit("authoring.courses").status_code == status


def test_guests_and_strangers_find_no_staff_page(client: Client) -> None:
    make_course()
    assert client.visit("authoring.courses").status_code == 302
    client.sign_in(make_guest())
    assert client.visit("authoring.courses").status_code == 404


def test_a_role_taken_away_closes_the_page_in_the_open_session(client: Client) -> None:
    user = client.sign_in(make_user(roles=["owner"]))
    assert client.visit("authoring.courses").status_code == 200
    db.session.execute(sa.delete(RoleGrant).where(RoleGrant.user_id == user.id))
    assert client.visit("authoring.courses").status_code == 404


def test_a_role_is_never_taken_from_a_form(client: Client) -> None:
    user = client.sign_in(make_user())
    for page in ("accounts.change_own_name", "accounts.change_zone"):
        client.submit("accounts.settings", {"role": "owner", "roles": "owner", "user_id": "1", "is_admin": "1"}, to=page)
    assert db.session.query(RoleGrant).count() == 0
    assert db.session.get(User, user.id).disabled_at is None


def test_giving_a_role_twice_changes_nothing(app) -> None:
    user = make_user()
    for _ in range(2):
        grant_role(user, Role.MARKETER, NOW)
        grant_role(user, Role.OWNER, NOW)
    assert db.session.query(RoleGrant).count() == 2


def test_the_command_makes_an_account_with_roles_and_a_link_that_works_once(client: Client) -> None:
    run = client.application.test_cli_runner().invoke
    assert run(args=["user", "create", "boss@example.org", "--role", "owner", "--role", "marketer"]).exit_code == 0
    assert run(args=["user", "create", "boss@example.org", "--role", "instructor"]).exit_code == 0
    link = run(args=["user", "signin-link", "boss@example.org"]).output.strip()
    path = link.removeprefix(client.application.config["PUBLIC_URL"])
    assert client.submit(path).status_code == 303
    assert client.visit("authoring.courses").status_code == 200
    assert client.application.test_client().get(path).status_code == 410
    assert db.session.query(User).count() == 1
    assert db.session.query(RoleGrant).count() == 3


@pytest.mark.parametrize(
    "words", [["create", "nonsense"], ["signin-link", "nobody@example.org"], ["create", "a@example.org", "--role", "king"]]
)
def test_a_command_that_could_not_do_it_says_so_and_ends_with_an_error(client: Client, words: list[str]) -> None:
    result = client.application.test_cli_runner().invoke(args=["user", *words])
    assert result.exit_code != 0
    assert db.session.query(User).count() == 0


def test_an_account_is_found_again_and_not_made_twice(app) -> None:
    user = make_user()
    assert account_for(user.contact, NOW).id == user.id
