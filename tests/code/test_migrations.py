"""Migrations build exactly what the models say, one step at a time, up and down, on both databases."""

import re
from pathlib import Path

import flask_migrate
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from courseapp.extensions import db
from tests.code.schemas import dump
from tests.code.source import ROOT, expect

MIGRATIONS = ROOT / "migrations"


def misnumbered(folder: Path) -> list[str]:
    """Migrations that are not 0001_…, 0002_… in one line, or a HEAD file that does not name the last of them."""
    script = ScriptDirectory(str(folder))
    found, heads = [], script.get_heads()
    if len(heads) != 1:
        found.append(f"migrations: {len(heads)} heads; parallel migrations must be put in line")
    if (folder / "HEAD").read_text().strip() not in heads:
        found.append(f"migrations/HEAD: names {(folder / 'HEAD').read_text().strip()!r}, the head is {heads}")
    revisions = sorted(script.walk_revisions(), key=lambda step: str(step.revision))
    for number, step in enumerate(revisions, 1):
        before = revisions[number - 2].revision if number > 1 else None
        if (
            not re.fullmatch(rf"{number:04}_\w+\.py", Path(step.path).name)
            or step.revision != f"{number:04}"
            or step.down_revision != before
        ):
            found.append(f"migrations/versions/{Path(step.path).name}: should be {number:04}_…, follow {before}, and be called so inside")
    return found


def test_the_migrations_stand_in_line():
    assert misnumbered(MIGRATIONS) == []


def test_the_migrations_build_what_the_models_say(app, database, tmp_path):
    migrated = dump(db.engine)
    engine = sa.create_engine(database.empty_beside())
    db.metadata.create_all(engine)
    modelled = dump(engine)
    engine.dispose()
    assert len(modelled) > 100
    assert {"only in the migrations": migrated - modelled, "only in the models": modelled - migrated} == {
        "only in the migrations": set(),
        "only in the models": set(),
    }


def test_each_migration_goes_up_and_down(make_app, database):
    app = make_app(database_url=database.empty_beside())
    with app.app_context():
        steps = [str(step.revision) for step in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]
        for before, step in zip(["base", *steps], steps, strict=False):
            lower = dump(db.engine)
            flask_migrate.upgrade(revision=step)
            upper = dump(db.engine)
            assert upper != lower, f"{step} changes nothing"
            flask_migrate.downgrade(revision=before)
            assert dump(db.engine) == lower, f"{step} does not go down to where it came from"
            flask_migrate.upgrade(revision=step)
            assert dump(db.engine) == upper, f"{step} does not come up again"


def test_whom_a_half_sent_broadcast_is_for_is_carried_over_and_back(make_app, database):
    def rows(words: str) -> list[tuple[object, ...]]:
        found = [tuple(row) for row in db.session.execute(sa.text(words))]
        db.session.commit()
        return found

    def put(table: str, **values: object) -> None:
        names = ", ".join(values)
        db.session.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in values)})"), values)

    app, day = make_app(database_url=database.empty_beside()), "2026-01-01"
    with app.app_context():
        flask_migrate.upgrade(revision="0021")
        put("streams", id=1, key="b", purpose="marketing", reaches_unconfirmed=False)
        for n in range(1, 8):
            mark = f"p{n}"
            put(
                "contacts",
                id=n,
                public_id=mark,
                address=mark,
                address_key=mark,
                address_mac=mark,
                zone="UTC",
                language="en",
                created_at=day,
            )
        for n, state, cursor, stream in ((1, "expanding", 3, 1), (2, "finished", 7, None)):
            words = {"title": "t", "purpose": "marketing", "tree": "{}", "language": "en", "subject": "", "preheader": "", "body": ""}
            times = {"window_start": "09:00", "window_end": "11:00", "created_at": day, "changed_at": day, "snapshot_at": day}
            put(
                "broadcasts",
                id=n,
                public_id=f"b{n}",
                state=state,
                version=1,
                stream_id=stream,
                candidates=7,
                cursor=cursor,
                **words,
                **times,
            )
            for contact in range(1, 8):
                put("broadcast_recipients", broadcast_id=n, contact_id=contact)
        for n in (1, 2, 3):
            mail = {"template": "t", "fields": "{}", "message_id": "m", "state": "pending", "priority": 1, "lease_epoch": 0, "attempts": 0}
            put("messages", public_id=f"m{n}", dedupe_key=f"d{n}", stream_id=1, contact_id=n, due_at=day, created_at=day, **mail)
        db.session.commit()
        flask_migrate.upgrade(revision="0022")
        assert [row[:2] + row[3:] for row in rows("SELECT * FROM broadcast_pages")] == [(1, 0, 4)]
        assert str(rows("SELECT contact_ids FROM broadcast_pages")[0][0]) == "[4, 5, 6, 7]"
        db.session.execute(sa.text(f"UPDATE contacts SET erased_at = '{day}' WHERE id = 5"))
        db.session.commit()
        flask_migrate.downgrade(revision="0021")
        assert rows("SELECT * FROM broadcast_recipients ORDER BY 2") == [(1, n) for n in (1, 2, 3, 4, 6, 7)]
        assert rows("SELECT id, cursor FROM broadcasts ORDER BY id") == [(1, 3), (2, 0)]
        db.engine.dispose()


def test_what_mailgun_told_goes_with_the_word_for_it_and_nothing_else_does(make_app, database):
    def keep(source: str) -> None:
        words = "INSERT INTO returns (key, source, kind, status, tries, received_at, due_at, public_id)"
        day = "2026-01-01 00:00:00"
        row = f"('{source}', '{source}', 'bounced', '5.1.1', 0, '{day}', '{day}', 'abc')"
        db.session.execute(sa.text(f"{words} VALUES {row}"))
        db.session.commit()

    def kept() -> list[tuple[str, str]]:
        rows = [tuple(row) for row in db.session.execute(sa.text("SELECT source, status FROM returns ORDER BY id"))]
        db.session.commit()
        return rows

    app = make_app(database_url=database.empty_beside())
    with app.app_context():
        flask_migrate.upgrade(revision="0022")
        keep("postmark")
        with pytest.raises(sa.exc.IntegrityError):
            keep("mailgun")
        db.session.rollback()
        flask_migrate.upgrade(revision="0023")
        keep("mailgun")
        keep("ses")
        assert [source for source, _status in kept()] == ["postmark", "mailgun", "ses"]
        flask_migrate.downgrade(revision="0022")
        assert kept() == [("postmark", "5.1.1"), ("ses", "5.1.1")]
        flask_migrate.upgrade(revision="0023")
        keep("mailgun")
        assert len(kept()) == 3
        db.engine.dispose()


def test_a_changed_check_and_a_changed_index_are_noticed(database):
    """The comparison itself: a dump differs where Alembic's own comparison sees nothing."""
    table = "CREATE TABLE planted (n INTEGER, state VARCHAR(9), CHECK (state IN ({states})))"
    index = "CREATE INDEX ix_planted ON planted (n) WHERE n > {least}"
    seen = set()
    for states, least in (("'a, b', 'c'", 1), ("'a, b'", 1), ("'a, b'", 2)):
        engine = sa.create_engine(database.empty_beside())
        with engine.begin() as connection:
            connection.exec_driver_sql(table.format(states=states))
            connection.exec_driver_sql(index.format(least=least))
        seen.add(frozenset(dump(engine)))
        engine.dispose()
    assert len(seen) == 3


STEP = 'revision = "{number}"\ndown_revision = {before!r}\ndef upgrade(): pass\ndef downgrade(): pass\n'


@pytest.mark.parametrize(
    ("files", "head", "words"),
    [
        ({"0001_a.py": ("0001", None), "0002_b.py": ("0002", "0001")}, "0002", None),
        ({"0001_a.py": ("0001", None), "0002_b.py": ("0002", "0001")}, "0001", "HEAD"),
        ({"0001_a.py": ("0001", None), "0002_b.py": ("0002", "0001"), "0003_c.py": ("0003", "0001")}, "0003", "2 heads"),
        ({"0001_a.py": ("0001", None), "abc_b.py": ("abc", "0001")}, "abc", "should be 0002"),
    ],
)
def test_planted_migrations_are_judged_rightly(tmp_path, files, head, words):
    (tmp_path / "versions").mkdir()
    (tmp_path / "HEAD").write_text(f"{head}\n")
    for name, (number, before) in files.items():
        (tmp_path / "versions" / name).write_text(STEP.format(number=number, before=before))
    expect(misnumbered(tmp_path), words)


def test_a_trial_that_is_under_way_goes_down_without_mailing_whoever_waits(make_app, database):
    app, day = make_app(database_url=database.empty_beside()), "2026-01-01"

    def put(table: str, **values: object) -> None:
        names = ", ".join(values)
        db.session.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in values)})"), values)

    with app.app_context():
        flask_migrate.upgrade(revision="0024")
        ids = "'[1]'" if db.engine.dialect.name == "sqlite" else "ARRAY[1]"
        for n in range(1, 6):
            words = {"language": "en", "subject": "s", "preheader": "", "body": "", "purpose": "marketing"}
            put("letters", id=n, public_id=f"l{n}", targets="{}", created_at=day, **words)
        for n, state, better, rest in ((1, "scheduled", None, None), (2, "trying", None, None), (3, "expanding", "second", 5)):
            put("streams", id=n, key=f"b{n}", purpose="marketing", reaches_unconfirmed=False)
            words = {"title": "t", "purpose": "marketing", "tree": "{}", "language": "en", "subject": "", "preheader": "", "body": ""}
            times = {"window_start": "09:00", "window_end": "11:00", "created_at": day, "changed_at": day, "send_at": day}
            put(
                "broadcasts",
                id=n,
                public_id=f"b{n}",
                state=state,
                version=1,
                stream_id=n,
                letter_id=n,
                candidates=3,
                **words,
                **times,
            )
            tried = {"has_second": True, "subject": "", "preheader": "", "body": "", "tried_percent": 20, "held_percent": 5, "counts": "{}"}
            more = {"measure": "did", "within_days": 7, "is_by_hand": False, "better": better, "rest_letter_id": rest}
            put("experiments", broadcast_id=n, **tried, **more)
            for number, arm in enumerate(("held", "rest")):
                page = "INSERT INTO broadcast_pages (broadcast_id, number, arm, contact_ids, people) VALUES "
                db.session.execute(sa.text(f"{page} ({n}, {number}, '{arm}', {ids}, 1)"))
        db.session.commit()
        flask_migrate.downgrade(revision="0023")
        found = db.session.execute(
            sa.text("SELECT b.state, b.letter_id, s.paused_at IS NULL FROM broadcasts b JOIN streams s ON s.id = b.id")
        )
        rows = sorted(tuple(row) for row in found)
        assert rows == [("draft", 1, True), ("expanding", 2, False), ("expanding", 5, True)]
        assert list(db.session.scalars(sa.text("SELECT number FROM broadcast_pages ORDER BY broadcast_id"))) == [1, 1, 1]
        db.session.commit()
        db.engine.dispose()
