"""Invented learners and contacts: as many as asked for, and such as segments choose."""

import pytest
import sqlalchemy as sa

from courseapp import clock
from courseapp.campaigns.segments import count_of
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.learning.models import Enrolment
from tests.campaigns.crowd import EVERYBODY, is_
from tests.factories import make_course


@pytest.mark.parametrize(("what", "contacts", "consents"), [("learners", 0, 0), ("contacts", 50, 40)])
def test_as_many_are_invented_as_were_asked_for(app, what, contacts, consents):
    make_course()
    db.session.commit()
    made = app.test_cli_runner().invoke(args=["synth", what, "50"])
    assert made.exit_code == 0, made.output
    assert db.session.scalar(sa.select(sa.func.count(Enrolment.id))) == 50
    assert db.session.scalar(sa.select(sa.func.count(Contact.id))) == contacts
    assert count_of(EVERYBODY, clock.now()) == contacts
    assert count_of(is_("consent", "given", purpose="course"), clock.now()) == consents
