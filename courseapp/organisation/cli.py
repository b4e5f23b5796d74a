"""`flask setup-link`: how a fresh installation gets its first owner."""

import click
from flask.cli import with_appcontext

from courseapp import clock
from courseapp.extensions import db
from courseapp.mailing.links import full_url
from courseapp.organisation.owner_link import has_open_link, has_owner, new_owner_link


@click.command("setup-link")
@click.option("--if-needed", is_flag=True, help="Say nothing where there is an owner, or a link that still works. For every start.")
@with_appcontext
def setup_link(if_needed: bool) -> None:
    """Print a link that makes its first user the owner. It works once, for 24 hours, and ends every earlier one."""
    now = clock.now()
    if has_owner():
        if if_needed:
            return
        raise click.ClickException("There is an owner, who invites others under Settings. Or: flask --app courseapp user signin-link EMAIL")
    if if_needed and has_open_link(now):
        return
    token = new_owner_link(now)
    db.session.commit()
    click.echo("This site has no owner yet. Open this link to become it; it works once, for 24 hours:")
    click.echo(full_url("entrance.set_up", token=token))


COMMANDS = (setup_link,)
