"""The first owner: a one-time link, an address confirmed by mail, and then nothing is there any more."""

import threading

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.organisation.invitations import accept, invite
from courseapp.organisation.models import Invitation, OwnerLink
from courseapp.organisation.owner_link import has_owner, new_owner_link
from tests.accounts.mailbox import last_mail_to, mails_to
from tests.client import Client
from tests.factories import NOW, make_course, make_enrolment, make_guest, make_user
from tests.rows import all_rows, changed_tables


def run(app: Flask, *words: str) -> tuple[int, str]:
    """What `flask setup-link` ends with and says."""
    db.session.commit()
    result = app.test_cli_runner().invoke(args=["setup-link", *words])
    return result.exit_code, result.output


def link_of(output: str, app: Flask) -> str:
    """The path of the link that was printed."""
    return output.strip().splitlines()[-1].removeprefix(app.config["PUBLIC_URL"])


@pytest.fixture
def link(app: Flask) -> str:
    """The path of a fresh link."""
    token = new_owner_link(NOW)
    db.session.commit()
    return f"/setup/{token}"


def test_from_the_log_to_the_settings(client: Client, app: Flask) -> None:
    code, output = run(app, "--if-needed")
    assert code == 0
    link = link_of(output, app)
    assert link.startswith("/setup/")
    page = client.submit(link, {"address": "boss@example.org", "instructor": "y"})
    assert "b…@example.org" in page.text
    assert not has_owner()
    mail = last_mail_to("boss@example.org")
    assert mail.template == "organisation/invitation"
    answer = client.submit(mail.link)
    assert (answer.status_code, answer.location) == (303, client.path("organisation.settings"))
    assert client.visit("organisation.settings").status_code == 200
    assert set(db.session.scalars(sa.select(RoleGrant.role))) == {Role.OWNER, Role.INSTRUCTOR}
    assert db.session.scalars(sa.select(User)).one().contact.is_confirmed


def test_only_the_hash_of_the_link_is_kept(app: Flask) -> None:
    _code, output = run(app)
    token = link_of(output, app).rpartition("/")[2]
    assert len(token) > 40
    assert token not in repr(all_rows())


def test_looking_at_the_link_changes_nothing(client: Client, link: str) -> None:
    before = all_rows()
    for _ in range(3):
        assert client.get(link).status_code == 200
    assert changed_tables(before, all_rows()) == []


def test_the_link_works_once(client: Client, link: str) -> None:
    assert client.submit(link, {"address": "boss@example.org"}).status_code == 200
    other = client.application.test_client()
    assert other.get(link).status_code == 404
    assert other.post(link, data={"csrf_token": other.csrf_token(), "address": "thief@example.org"}).status_code == 404
    assert mails_to("thief@example.org") == []


def test_what_is_no_address_does_not_use_it_up(client: Client, link: str) -> None:
    page = client.submit(link, {"address": "nonsense"})
    assert "does not look like an e-mail address" in page.text
    assert client.submit(link, {"address": "boss@example.org"}).status_code == 200
    assert len(mails_to("boss@example.org")) == 1


@pytest.mark.parametrize(("hours", "status"), [(23.9, 200), (24.1, 404)])
def test_the_link_works_for_a_day(client: Client, link: str, pass_time, hours: float, status: int) -> None:
    pass_time(hours=hours)
    assert client.get(link).status_code == status


def test_an_unknown_link_is_not_there(client: Client) -> None:
    assert client.visit("entrance.set_up", token="never-made").status_code == 404


def test_once_there_is_an_owner_nothing_is_there(client: Client, link: str, app: Flask) -> None:
    token = client.csrf_token()
    make_user(roles=["owner"])
    assert client.get(link).status_code == 404
    assert client.post(link, data={"csrf_token": token, "address": "late@example.org"}).status_code == 404
    assert mails_to("late@example.org") == []
    assert run(app)[0] == 1
    assert run(app, "--if-needed") == (0, "")


def test_a_closed_account_is_no_owner(app: Flask, client: Client, link: str) -> None:
    make_user(roles=["owner"], disabled_at=NOW)
    assert client.get(link).status_code == 200


def test_a_new_link_ends_the_old_one_and_a_start_makes_none_while_one_works(client: Client, app: Flask, link: str, pass_time) -> None:
    assert run(app, "--if-needed") == (0, "")
    newer = link_of(run(app)[1], app)
    assert client.get(link).status_code == 404
    assert client.get(newer).status_code == 200
    pass_time(hours=25)
    assert "/setup/" in run(app, "--if-needed")[1]
    assert db.session.query(OwnerLink).count() == 1


def test_of_two_who_were_asked_only_the_first_becomes_the_owner(client: Client, app: Flask, link: str) -> None:
    client.submit(link, {"address": "first@example.org"})
    client.submit(link_of(run(app)[1], app), {"address": "second@example.org"})
    assert client.submit(last_mail_to("second@example.org").link).status_code == 303
    other = app.test_client()
    late = last_mail_to("first@example.org").link
    assert other.post(late, data={"csrf_token": other.csrf_token()}).status_code == 410
    assert db.session.query(RoleGrant).count() == 1


def test_of_two_who_accept_at_once_only_one_becomes_the_owner(app: Flask) -> None:
    for address in ("first@example.org", "second@example.org"):
        invite(address, [Role.OWNER], None, NOW)
    db.session.commit()
    first, second = db.session.scalars(sa.select(Invitation.id).order_by(Invitation.id)).all()
    ended = []

    def accept_too() -> None:
        with app.app_context():
            found = accept(db.session.get_one(Invitation, second), NOW)
            db.session.commit()
            ended.append(found)

    assert accept(db.session.get_one(Invitation, first), NOW) is not None
    other = threading.Thread(target=accept_too)
    other.start()
    other.join(0.5)  # it waits for what we hold
    assert ended == []
    db.session.commit()
    other.join(30)
    assert ended == [None]
    assert db.session.query(RoleGrant).count() == 1


def test_a_guest_who_becomes_the_owner_is_asked_about_the_course(client: Client, link: str) -> None:
    guest = client.sign_in(make_guest())
    make_enrolment(guest, make_course())
    client.submit(link, {"address": "boss@example.org"})
    answer = client.submit(last_mail_to("boss@example.org").link)
    assert answer.location == client.path("learning.join")
    assert client.visit("learning.join").status_code == 200


def test_the_journal_names_no_address(client: Client, link: str) -> None:
    client.submit(link, {"address": "boss@example.org"})
    client.submit(last_mail_to("boss@example.org").link)
    events = db.session.scalars(sa.select(Event)).all()
    assert {"staff_invited", "role_granted"} <= {event.type for event in events}
    assert "boss" not in repr([(event.subject, event.data) for event in events])


@pytest.mark.one_database
@pytest.mark.settings(rate_limits=True)
def test_guessing_is_slowed(client: Client, app: Flask) -> None:
    answers = [client.visit("entrance.set_up", token=f"guess-{number}").status_code for number in range(62)]
    assert answers[0] == 404
    assert answers[-1] == 429
