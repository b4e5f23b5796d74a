"""`flask user …`: people and their roles."""

import click
from flask.cli import AppGroup

from courseapp import clock
from courseapp.accounts.models import Role
from courseapp.accounts.people import account_for, grant_role, user_of_contact
from courseapp.accounts.sign_in import new_request
from courseapp.contacts.people import confirm, contact_for, contact_of_address
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing.links import full_url

user = AppGroup("user", help="People and their roles.")
COMMANDS = (user,)
ROLES = ["learner", *(role.value for role in Role)]


@user.command("create")
@click.argument("email")
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="May be given several times.")
def create(email: str, roles: tuple[str, ...]) -> None:
    """Make an account for EMAIL, or add roles to the one there is."""
    now = clock.now()
    try:
        contact = contact_for(email, now)
    except Refusal as refusal:
        raise click.ClickException(f"{email}: {refusal.words}") from refusal
    confirm(contact, now)
    person = account_for(contact, now)
    for role in roles:
        if role != "learner" and grant_role(person, Role(role), now):  # everyone is a learner
            events.record("role_granted", f"user:{person.id}", now, role=role, by=None)
    db.session.commit()
    click.echo(
        f"{email} has an account{' as ' + ', '.join(roles) if roles else ''}. Get in with: flask --app courseapp user signin-link {email}"
    )


@user.command("signin-link")
@click.argument("email")
def signin_link(email: str) -> None:
    """Print a link that signs EMAIL in once, within 15 minutes."""
    contact = contact_of_address(email)
    if contact is None:
        raise click.ClickException(f"There is no account for {email}. Make one with: flask --app courseapp user create {email}")
    now = clock.now()
    token, _code = new_request(contact.id, "command line", now)
    person = user_of_contact(contact)
    events.record("operator_made_link", f"user:{person.id}" if person is not None else f"contact:{contact.id}", now)  # they read of it
    db.session.commit()
    click.echo(full_url("accounts.sign_in_link", token=token))
