"""The pages of a broadcast that tries two letters out: written, both looked at, tried, watched, chosen; and what came of it."""

from datetime import timedelta

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.campaigns.experiments import experiment_of
from courseapp.campaigns.models import Arm, Broadcast, BroadcastState, Measure
from courseapp.extensions import db
from courseapp.insights.loops import renew_mail_figures
from courseapp.mailing.models import Letter, Message
from courseapp.operations.audit import entries_before
from courseapp.operations.audit_words import Matter
from tests.campaigns.test_broadcast_pages import WORDS, people, the_only, work
from tests.client import Client
from tests.factories import NOW, make_course, make_user
from tests.insights.scenes import make_draft_that_tries, make_trial

TRIES = {**WORDS, "has_second": "y", "second_subject": "Said otherwise", "tried_percent": "50", "held_percent": "20", "within_days": "1"}


def enter(client: Client) -> User:
    """A marketer, signed in."""
    return client.sign_in(make_user("marketer@example.org", roles=("marketer",)))


def test_from_two_letters_to_the_better_one(client: Client) -> None:
    marketer = enter(client)
    people(60)
    make_course()
    assert client.submit("broadcasts.begin", TRIES).status_code == 303
    made = the_only()
    experiment = experiment_of(made)
    assert (experiment.subject, experiment.tried_percent, experiment.held_percent) == ("Said otherwise", 50, 20)
    assert (experiment.measure, experiment.within_days) == (Measure.DID, 1)
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert 'name="second_subject"' in page
    assert "Said otherwise" in page
    look = client.visit("broadcasts.look", id=made.public_id).text
    assert "About 12 people, drawn by lot, get none" in look
    assert "About 24 people get the first letter and as many the second" not in look  # it is 12 each: half of the 48
    assert "About 12 people get the first letter and as many the second" in look
    assert "About 24 people wait; also of them it is fixed now who they are. A day after the trial’s last mail has left" in look
    assert "With so few for each letter" in look
    assert "Said otherwise" not in look
    second = client.visit("broadcasts.look", id=made.public_id, letter="second").text
    assert "Said otherwise" in second
    frame = client.visit("broadcasts.letter_html", id=made.public_id, letter="second")
    assert frame.status_code == 200
    token = {"csrf_token": client.csrf_token("broadcasts.begin")}
    client.post(client.path("broadcasts.try_out", id=made.public_id, letter="second"), data={**token, "to": marketer.public_id})
    assert db.session.scalar(sa.select(Letter.subject).join(Message, Message.letter_id == Letter.id)) == "Said otherwise"
    client.submit("broadcasts.look", {"when": "now"}, to="broadcasts.send", id=made.public_id)
    assert "drawn by lot" in client.visit("broadcasts.broadcast", id=made.public_id).text
    work()
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert the_only().state is BroadcastState.TRYING
    assert "wait for the better letter" in page
    assert "it is judged on" in page
    answer = client.submit("broadcasts.broadcast", {"choice": "take_second"}, to="broadcasts.act", id=made.public_id)
    sure = client.get(answer.location).text
    assert "people now?" in sure
    assert "Said otherwise" in sure
    client.submit(answer.location, {"choice": "take_second"}, to=client.path("broadcasts.act", id=made.public_id))
    work()
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert "For the rest the second letter was chosen, “Said otherwise”." in page
    assert "held out by lot" in page
    assert the_only().state is BroadcastState.FINISHED
    assert "Chose the second letter of a broadcast for the rest" in {entry.what for entry in acts()}


def acts() -> list:
    """What the audit tells of mail."""
    return entries_before({Matter.MAIL}, None, None, 50)


def test_a_second_letter_must_differ_and_nothing_typed_is_lost(client: Client) -> None:
    enter(client)
    answer = client.submit("broadcasts.begin", {**TRIES, "second_subject": WORDS["subject"], "second_body": "  "})
    assert answer.status_code == 422
    assert "Say in at least one of these three what is other than in the first letter." in answer.text
    assert 'selected value="50"' in answer.text
    assert db.session.scalars(sa.select(Broadcast)).all() == []
    for name, value in (("tried_percent", "17"), ("held_percent", "x"), ("measure", "opened"), ("within_days", "2")):
        assert client.submit("broadcasts.begin", {**TRIES, name: value}).status_code == 422


def test_what_is_wrong_in_the_second_letter_hinders_sending(client: Client) -> None:
    enter(client)
    people(2)
    draft = make_draft_that_tries()
    experiment_of(draft).body = "Hello {{ nonsense }}"
    db.session.commit()
    look = client.visit("broadcasts.look", id=draft.public_id)
    assert "Mend what is said above of each letter" in look.text
    assert "nonsense" in client.visit("broadcasts.look", id=draft.public_id, letter="second").text


def test_what_came_of_a_trial_is_told_arm_by_arm(client: Client) -> None:
    enter(client)
    broadcast = make_trial(make_course(), NOW)
    page = client.visit("results.broadcast", id=broadcast.public_id).text
    for words in (
        "The first letter",
        "What you could learn next",
        "Held out, without a letter",
        "Which letter is better is not judged yet.",
    ):
        assert words in page
    assert "Between the two letters, in how many did something in a course: what differs is more than chance would make of it." in page
    renew_mail_figures(lambda: NOW + timedelta(days=3))
    assert experiment_of(the_only()).better is Arm.SECOND
    page = client.visit("results.broadcast", id=broadcast.public_id).text
    assert "For the rest the second letter was chosen, “What you could learn next”." in page
    assert "Judged by: " in page


def test_while_nothing_was_counted_there_is_nothing_to_tell_of_the_arms(client: Client) -> None:
    enter(client)
    broadcast = make_trial(make_course(), NOW, people=5)
    page = client.visit("results.broadcast", id=broadcast.public_id).text
    assert "There was nothing to tell so far: fewer than five people have done something" in page


def test_a_second_letter_that_is_written_and_not_ticked_is_not_thrown_away(client: Client) -> None:
    enter(client)
    answer = client.submit("broadcasts.begin", {**TRIES, "has_second": None})
    assert answer.status_code == 422
    assert "You have written a second letter. Tick this to have it tried out, or empty its fields." in answer.text
    assert '<details class="disclosure disclosure-alone" open' in answer.text
    assert 'value="Said otherwise"' in answer.text


def test_what_no_database_takes_is_refused_in_words(client: Client) -> None:
    enter(client)
    for name in ("body", "second_body"):
        answer = client.submit("broadcasts.begin", {**TRIES, name: "a\0b"})
        assert answer.status_code == 422
        assert "Please leave out control characters." in answer.text


def test_a_paused_trial_is_called_paused_and_offers_no_letter_to_send(client: Client) -> None:
    enter(client)
    broadcast = make_trial(make_course(), NOW)
    broadcast.stream.paused_at = NOW
    db.session.commit()
    page = client.visit("broadcasts.broadcast", id=broadcast.public_id).text
    assert "Send the first to" not in page
    assert ">paused<" in client.visit("broadcasts.listed").text


def test_a_trial_from_a_backup_says_that_it_waits_for_somebody(client: Client) -> None:
    enter(client)
    broadcast = make_trial(make_course(), NOW)
    experiment_of(broadcast).is_by_hand = True
    db.session.commit()
    assert "This broadcast came back from a backup." in client.visit("broadcasts.broadcast", id=broadcast.public_id).text
