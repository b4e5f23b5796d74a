"""`flask sequence …`: publishing sequences from files."""

from pathlib import Path

import click
from flask.cli import AppGroup

from courseapp import clock
from courseapp.campaigns.publishing import publish_sequence
from courseapp.extensions import db

sequence = AppGroup("sequence", help="Drip sequences: publish them.")
COMMANDS = (sequence,)


@sequence.command("import")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
def import_command(path: Path) -> None:
    """Publish the sequence in the folder PATH; runs already begun keep to their version."""
    try:
        found, is_new = publish_sequence(path, clock.now())
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    db.session.commit()
    click.echo(f"“{found.title}”: {'a new version is published' if is_new else 'nothing has changed'}.")
