"""Working through files of contacts, a commit for each page; killed in between, the next worker goes on where the last commit was."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from flask import current_app

from courseapp import storage
from courseapp.campaigns import contact_exports as exports
from courseapp.campaigns import contact_imports as imports
from courseapp.campaigns.bringing_in import Page, take_page
from courseapp.campaigns.contact_files import MOST_ROWS, Unreadable, rows_of
from courseapp.campaigns.contact_rows import Finding, Meant, read_row
from courseapp.campaigns.models import ContactImport, ImportState
from courseapp.errors import is_out_of_room
from courseapp.extensions import db, wake
from courseapp.journal import events
from courseapp.site import present_site

PAGE = 500  # rows
Clock = Callable[[], datetime]
log = structlog.get_logger()


def work_contacts(clock: Clock, seconds: float = 40.0) -> int:
    """Bring in and write out what waits; how many pages were done. What is not done in time is woken for again."""
    ends, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends and (found := imports.claim(clock())) is not None:
        db.session.commit()
        if found.is_working:
            count += _work_import(found, clock, ends)
    db.session.rollback()
    while time.monotonic() < ends and write_piece(clock()):
        count += 1
    db.session.rollback()
    if time.monotonic() >= ends:
        wake("contacts")
        db.session.commit()
    return count


def write_piece(now: datetime) -> bool:
    """Write the next piece of a file that goes out, and commit; False where there is none to write."""
    piece = exports.next_piece(now)
    db.session.rollback()
    if piece is None:
        return False
    if piece.content is not None:
        storage.keep(piece.key, piece.content)
    if exports.count_piece(piece, now):
        db.session.commit()
    else:
        db.session.rollback()
        storage.remove(piece.key)
    return True


def _work_import(found: ContactImport, clock: Clock, ends: float) -> int:
    try:
        with TemporaryDirectory() as folder, storage.lying_at(imports.key_of(found.public_id), Path(folder)) as path:
            return _take_pages(found, path, clock, ends)
    except FileNotFoundError:
        _end(found, ImportState.FAILED, clock, "gone")
    except Unreadable as error:
        _end(found, ImportState.FAILED, clock, f"line {error.line}")
    except Exception as error:  # whatever it is, it is a fact about this file and must not stop the others
        db.session.rollback()
        log.exception("import_broke", contacts=found.id, full=is_out_of_room(error))  # the lease runs out, and it is tried again
    return 0


def _take_pages(found: ContactImport, path: Path, clock: Clock, ends: float) -> int:
    count = 0
    for page in _pages(found, path, clock()):
        if not take_page(found, page, clock(), clock() + imports.LEASE):
            db.session.rollback()  # thrown away, or another worker is at it
            return count
        db.session.commit()
        count += 1
        if time.monotonic() >= ends:
            found.leased_until = None
            db.session.commit()
            return count
    _end(found, ImportState.READY if found.state is ImportState.CHECKING else ImportState.FINISHED, clock)
    return count


def _end(found: ContactImport, state: ImportState, clock: Clock, problem: str | None = None) -> None:
    db.session.rollback()
    db.session.refresh(found, with_for_update=True)
    if found.is_working:
        if state is ImportState.READY:
            found.state, found.leased_until = state, None
        else:
            imports.finish(found, state, clock(), problem)
            events.record("contacts_imported", f"import:{found.id}", clock(), by_user_id=found.by_user_id, counts=found.counts)
    db.session.commit()


def _pages(found: ContactImport, path: Path, now: datetime) -> Iterator[Page]:
    """The rows behind the cursor, some at a time. Those before it are read too: which addresses were there must be known."""
    languages = current_app.config["SETTINGS"].language_list
    meant = Meant(found.columns, len(found.heads), languages, found.language, present_site().default_zone)
    seen: set[int] = set()
    done, page, begins, address = 0, Page(), found.cursor, found.columns["address"]
    for line, cells in rows_of(path, found.encoding, found.delimiter, found.has_names):
        if done >= MOST_ROWS:
            page.findings.append(Finding(line, "row", "too_many"))
            break
        done += 1
        if done <= begins:
            seen.add(hash(cells[address].casefold() if address < len(cells) else ""))  # as it is written: cheap, and nearly always the key
            continue
        read = read_row(line, cells, meant, now)
        if not isinstance(read, list):
            mark = hash(read.key)
            read = [Finding(line, "address", "twice")] if mark in seen else read
            seen.add(mark)
        page.taken += 1
        if isinstance(read, list):
            page.findings += read
            page.wrong += 1
        else:
            page.rows.append(read)
        if page.taken == PAGE:
            yield page
            page = Page()
    if page.taken or page.findings:
        yield page
