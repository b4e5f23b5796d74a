"""People with roles: invited by mail, and never without an owner."""

import threading

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import LoginSession, Role, RoleGrant, User
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import loops
from courseapp.mailing.models import Message, State
from courseapp.operations.people import erase, export
from courseapp.operations.tidying import tidy
from courseapp.organisation.invitations import accept, invite, withdraw
from courseapp.organisation.models import Invitation
from courseapp.organisation.staff import take_role
from tests.accounts.mailbox import last_mail_to, mails_to
from tests.client import Client
from tests.factories import NOW, make_guest, make_user
from tests.rows import all_rows, changed_tables, tables_that_hold


@pytest.fixture
def owner(client: Client) -> User:
    """The owner, signed in."""
    return client.sign_in(make_user("boss@example.org", roles=["owner"]))


def ask(client: Client, **roles: str) -> str:
    """Invite Ada; the path of the mailed link."""
    answer = client.submit(
        "organisation.people", {"address": "ada@example.org", **(roles or {"instructor": "y"})}, to="organisation.invite"
    )
    assert answer.status_code == 303, answer.text
    return last_mail_to("ada@example.org").link


def roles_of(address: str) -> set[str]:
    """The roles of an address's account."""
    query = sa.select(RoleGrant.role).join(User, User.id == RoleGrant.user_id).join(User.contact).where(sa.text("address_key = :key"))
    return {role.value for role in db.session.scalars(query, {"key": address})}


@pytest.mark.parametrize("roles", [(), ("instructor",), ("marketer",), ("instructor", "marketer")])
@pytest.mark.parametrize("page", ["organisation.settings", "organisation.people"])
@pytest.mark.one_database
def test_the_pages_are_the_owners_alone(client: Client, roles: tuple[str, ...], page: str) -> None:
    client.sign_in(make_user(roles=roles))
    assert client.visit(page).status_code == 404


@pytest.mark.one_database
def test_others_change_nothing_there(client: Client) -> None:
    boss = make_user(roles=["owner"])
    client.sign_in(make_user(roles=["instructor", "marketer"]))
    token = client.csrf_token("accounts.settings")
    before = all_rows()
    for endpoint, values in (
        ("organisation.invite", {}),
        ("organisation.take_role", {"public_id": boss.public_id, "role": "owner"}),
        ("organisation.change_settings", {"section": "names"}),
        ("organisation.change_page", {"name": "terms"}),
        ("organisation.change_logo", {}),
    ):
        data = {"csrf_token": token, "address": "x@example.org", "owner": "y", "names-site_name": "Mine", "text": "Mine"}
        assert client.post(client.path(endpoint, **values), data=data).status_code == 404
    assert changed_tables(before, all_rows()) == []


def test_an_invitation_is_accepted_once_by_whoever_reads_the_mail(client: Client, owner: User) -> None:
    link = ask(client, instructor="y", marketer="y")
    other = client.application.test_client()
    before = all_rows()
    page = other.get(link)
    assert "Instructor:" in page.text
    assert "Marketer:" in page.text
    assert "Owner:" not in page.text
    assert changed_tables(before, all_rows()) == []
    assert other.submit(link).status_code == 303
    assert roles_of("ada@example.org") == {"instructor", "marketer"}
    assert other.visit("authoring.courses").status_code == 200
    assert other.visit("organisation.people").status_code == 404
    third = client.application.test_client()
    assert third.get(link).status_code == 410
    assert third.post(link, data={"csrf_token": third.csrf_token()}).status_code == 410


def test_it_needs_an_address_and_a_role(client: Client, owner: User) -> None:
    page = client.submit("organisation.people", {"address": "ada@example.org"}, to="organisation.invite")
    assert "tick at least one role" in page.text
    page = client.submit("organisation.people", {"address": "nonsense", "owner": "y"}, to="organisation.invite")
    assert "does not look like an e-mail address" in page.text
    assert db.session.query(Invitation).count() == 0


@pytest.mark.parametrize(("days", "status"), [(6.9, 303), (7.1, 410)])
def test_it_holds_for_seven_days(client: Client, owner: User, pass_time, days: float, status: int) -> None:
    link = ask(client)
    other = client.application.test_client()
    token = other.csrf_token()
    pass_time(days=days)
    assert other.post(link, data={"csrf_token": token}).status_code == status
    assert bool(roles_of("ada@example.org")) is (status == 303)


def test_a_withdrawn_one_opens_nothing_and_its_mail_does_not_leave(client: Client, owner: User) -> None:
    link = ask(client)
    found = db.session.scalars(sa.select(Invitation)).one()
    answer = client.submit("organisation.people", to="organisation.withdraw_invitation", public_id=found.public_id)
    assert answer.status_code == 303
    assert "ada@example.org" not in client.visit("organisation.people").text
    other = client.application.test_client()
    assert other.post(link, data={"csrf_token": other.csrf_token()}).status_code == 410
    loops.drain(clock.now)
    loops.close_door()
    assert [row.state for row in db.session.scalars(sa.select(Message))] == [State.SKIPPED]


def test_a_second_invitation_takes_the_place_of_the_first(client: Client, owner: User) -> None:
    first, second = ask(client), ask(client, marketer="y")
    other = client.application.test_client()
    assert other.get(first).status_code == 410
    assert other.submit(second).status_code == 303
    assert roles_of("ada@example.org") == {"marketer"}


def test_who_had_an_account_begins_a_new_session_with_the_roles(client: Client, owner: User) -> None:
    ada = make_user("ada@example.org")
    other = client.application.test_client()
    other.sign_in(ada)
    link = ask(client)
    third = client.application.test_client()
    assert third.submit(link).status_code == 303
    assert other.visit("accounts.settings").status_code == 302  # a learner's session lives longer than one of staff may
    assert db.session.query(LoginSession).filter_by(user_id=ada.id).count() == 1


def test_a_closed_account_is_not_opened_by_an_invitation(client: Client, owner: User) -> None:
    make_user("ada@example.org", disabled_at=NOW)
    link = ask(client)
    other = client.application.test_client()
    assert other.post(link, data={"csrf_token": other.csrf_token()}).status_code == 410
    assert roles_of("ada@example.org") == set()


def test_the_list_shows_who_holds_what(client: Client, owner: User) -> None:
    make_user("ida@example.org", roles=["marketer"], name="Ida")
    make_user("learner@example.org")
    make_guest()
    page = client.visit("organisation.people").text
    assert "ida@example.org (Ida)" in page
    assert "boss@example.org" in page
    assert "learner@example.org" not in page


def test_a_role_is_taken_away_and_the_journal_says_by_whom(client: Client, owner: User) -> None:
    ida = make_user("ida@example.org", roles=["marketer", "instructor"])
    client.submit("organisation.people", to="organisation.take_role", public_id=ida.public_id, role="marketer")
    assert roles_of("ida@example.org") == {"instructor"}
    event = db.session.scalars(sa.select(Event).where(Event.type == "role_taken")).one()
    assert (event.subject, event.data) == (f"user:{ida.id}", {"role": "marketer", "by": owner.id})


def test_the_last_owner_stays(client: Client, owner: User) -> None:
    make_user(roles=["owner"], disabled_at=NOW)  # cannot sign in, so does not count
    assert "This is the only owner." in client.visit("organisation.people").text
    path = client.path("organisation.take_role", public_id=owner.public_id, role="owner")
    answer = client.post(path, data={"csrf_token": client.csrf_token("organisation.people")})
    assert answer.status_code == 400
    assert "only owner" in answer.text
    assert roles_of("boss@example.org") == {"owner"}


def test_one_of_two_owners_may_go(client: Client, owner: User) -> None:
    make_user("second@example.org", roles=["owner"])
    assert client.submit("organisation.people", to="organisation.take_role", public_id=owner.public_id, role="owner").status_code == 303
    assert client.visit("organisation.people").status_code == 404
    assert roles_of("second@example.org") == {"owner"}


def test_two_owners_who_take_each_others_role_at_once_do_not_both_succeed(app: Flask) -> None:
    one, other = (make_user(roles=["owner"]).id for _ in range(2))
    db.session.commit()
    ended = []

    def take_back() -> None:
        with app.app_context():
            try:
                take_role(db.session.get_one(User, one), Role.OWNER, db.session.get_one(User, other), NOW)
                db.session.commit()
                ended.append("taken")
            except Refusal:
                ended.append("refused")

    take_role(db.session.get_one(User, other), Role.OWNER, db.session.get_one(User, one), NOW)
    second = threading.Thread(target=take_back)
    second.start()
    second.join(0.5)  # it waits for what we hold
    assert ended == []
    db.session.commit()
    second.join(30)
    assert ended == ["refused"]
    assert db.session.scalars(sa.select(RoleGrant.user_id)).all() == [one]


@pytest.mark.parametrize("how", ["taken", "closed"])
def test_what_an_owner_offered_ends_with_the_owner(client: Client, owner: User, how: str) -> None:
    link = ask(client, owner="y")  # to a mailbox of their own, say, before the role is taken
    second = make_user("second@example.org", roles=["owner"])
    if how == "taken":
        take_role(owner, Role.OWNER, second, NOW)
    else:
        owner.disabled_at = NOW
    db.session.commit()
    other = client.application.test_client()
    assert other.get(link).status_code == 410
    assert other.post(link, data={"csrf_token": other.csrf_token()}).status_code == 410
    assert roles_of("ada@example.org") == set()
    client.sign_in(second)
    assert "ada@example.org" not in client.visit("organisation.people").text


def test_who_gives_up_the_own_role_lands_on_a_page_that_is_there(client: Client, owner: User) -> None:
    make_user("second@example.org", roles=["owner"])
    answer = client.submit("organisation.people", to="organisation.take_role", public_id=owner.public_id, role="owner", follow=True)
    assert answer.status_code == 200
    assert "The role is taken away." in answer.text


def test_an_invitation_is_never_both_accepted_and_withdrawn(client: Client, owner: User) -> None:
    link = ask(client)
    found = db.session.scalars(sa.select(Invitation)).one()
    client.application.test_client().submit(link)
    assert accept(found, NOW) is None
    assert not withdraw(found, owner, NOW)
    db.session.rollback()
    assert found.withdrawn_at is None
    assert db.session.query(Event).filter_by(type="invitation_withdrawn").count() == 0


@pytest.mark.parametrize(("who", "role"), [("nobody", "owner"), ("ida", "king"), ("ida", "learner")])
def test_what_is_not_there_cannot_be_taken(client: Client, owner: User, who: str, role: str) -> None:
    ida = make_user(roles=["marketer"])
    path = client.path("organisation.take_role", public_id=ida.public_id if who == "ida" else "nobody", role=role)
    assert client.post(path, data={"csrf_token": client.csrf_token("organisation.people")}).status_code == 404


def test_an_erased_persons_invitations_are_gone(app: Flask, client: Client, owner: User) -> None:
    ask(client)
    invitation = db.session.scalars(sa.select(Invitation)).one()
    assert export(None, invitation.contact)["invitations"] == [
        {"roles": ["instructor"], "at": invitation.created_at.isoformat(), "accepted": None}
    ]
    erase(None, invitation.contact, NOW)
    db.session.commit()
    assert db.session.query(Invitation).count() == 0
    assert tables_that_hold("ada@example.org") == []


@pytest.mark.parametrize(("days", "left"), [(8, 1), (9.1, 0)])
def test_what_can_no_longer_be_accepted_is_tidied_away(app: Flask, client: Client, owner: User, pass_time, days: float, left: int) -> None:
    ask(client)
    tidy(pass_time(days=days))
    db.session.commit()
    assert db.session.query(Invitation).count() == left


def test_the_journal_and_the_subject_name_nobody(client: Client, owner: User) -> None:
    ask(client, owner="y")
    event = db.session.scalars(sa.select(Event).where(Event.type == "staff_invited")).one()
    assert event.data == {"roles": ["owner"], "by": owner.id}
    assert len(mails_to("ada@example.org")) == 1


def test_an_invitation_without_a_role_is_refused_by_the_rule_itself(app: Flask) -> None:
    with pytest.raises(Refusal):
        invite("ada@example.org", [], None, NOW)
