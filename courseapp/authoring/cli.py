"""`flask course …`: bringing courses in, and writing them out."""

import json
import sys
from pathlib import Path

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from courseapp import clock
from courseapp.authoring.exporting import write_archive
from courseapp.authoring.importing import Result, import_course
from courseapp.authoring.report import Severity
from courseapp.catalog.models import Course
from courseapp.extensions import db

course = AppGroup("course", help="Courses: bring them in, write them out.")
COMMANDS = (course,)


@course.command("import")
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Look only: report and difference, nothing is written.")
@click.option("--publish", is_flag=True, help="Let learners see it at once.")
@click.option("--without-review", is_flag=True, help="Publish lessons that teach touch though no clinician has reviewed them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_command(path: Path, dry_run: bool, publish: bool, without_review: bool, as_json: bool) -> None:
    """Bring the course folder PATH in, through the pipeline that uploads use. Ends with 1 where errors keep it out."""
    result = import_course(path, clock.now(), publish=publish, dry_run=dry_run, without_review=without_review, tell=keep_what_is_made)
    if result.committed:
        db.session.commit()
    else:
        db.session.rollback()
    if as_json:
        click.echo(json.dumps(as_facts(result, dry_run), ensure_ascii=False, indent=1))
    else:
        print_words(result, dry_run)
    if result.report.has_errors:
        sys.exit(1)


def keep_what_is_made(_stage: str, _done: int, _total: int) -> None:
    """Commit pictures and films as they are made: they are slow, and stay good whatever becomes of the import."""
    db.session.commit()


@course.command("export")
@click.argument("slug")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def export_command(slug: str, file: Path, as_json: bool) -> None:
    """Write the course SLUG as a ZIP archive to FILE: Markdown and media, which the upload page takes again."""
    found = db.session.scalar(sa.select(Course).where(Course.slug == slug))
    if found is None:
        raise click.ClickException(f"There is no course “{slug}”.")
    try:
        size = write_archive(found, file)
    except OSError as error:
        raise click.ClickException(f"Nothing was written: {error.strerror or f'the storage has lost “{error}”'}.") from error
    click.echo(json.dumps({"ok": True, "file": str(file), "bytes": size}) if as_json else f"Written: {file}, {size:,} bytes.")


def as_facts(result: Result, dry_run: bool) -> dict[str, object]:
    """The result for other programs."""
    return {
        "ok": not result.report.has_errors,
        "dry_run": dry_run,
        "committed": result.committed,
        "difference": result.difference.as_dict(),
        "report": result.report.as_dicts(),
    }


def print_words(result: Result, dry_run: bool) -> None:
    """The result for people: findings, then what changed."""
    notes = [row for row in result.report.sorted() if row.severity is Severity.NOTE]
    for row in result.report.sorted():
        if row.severity is not Severity.NOTE:
            click.echo(row.words())
    if notes:
        click.echo(f"{len(notes)} notes, such as: {notes[0].file}: {notes[0].message} (--json shows all)")
    errors = result.report.count(Severity.ERROR)
    if errors:
        click.echo(f"Not imported: {errors} error{'s' if errors > 1 else ''} to mend first. Nothing was changed.")
        return
    difference = result.difference
    counts = ", ".join(f"{len(getattr(difference, name))} {name}" for name in ("new", "changed", "removed", "unchanged")) + " lessons"
    if dry_run:
        click.echo(f"Dry run, nothing was written: {counts}; {len(difference.assets)} files.")
    elif result.committed:
        click.echo(f"Imported: {counts}; {len(difference.assets)} files.")
    else:
        click.echo(f"Nothing has changed: {len(difference.unchanged)} lessons are as they were.")
