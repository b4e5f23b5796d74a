"""What a course's files become: made once, kept beside what was sent, put back by undoing, swept where nobody took it."""

import io
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from PIL import Image

from courseapp import clock, storage
from courseapp.authoring import films, pictures, preparing
from courseapp.authoring.importing import Result, import_course
from courseapp.authoring.models import PreparedFile, Upload, UploadState
from courseapp.authoring.preparing import sweep, workplace
from courseapp.authoring.undoing import last_import, undo
from courseapp.catalog.copies import images_of
from courseapp.catalog.models import Asset, Course, Lesson, Need
from courseapp.extensions import db
from tests.authoring.folders import PNG, SVG, lesson, small_course
from tests.authoring.test_uploads import decide, instructor, only_upload, packed, send, shown, work
from tests.client import Client
from tests.factories import NOW, make_enrolment, make_user

__all__ = ["instructor"]  # a fixture


def photograph(colour: str = "teal", width: int = 1200, height: int = 900) -> bytes:
    """A JPEG with a name in it."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    image.paste(colour, (0, 0, 90, 90))
    notes = Image.Exif()
    notes[0x013B] = "Maria"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=93, exif=notes)
    return buffer.getvalue()


ONE = lesson("one", "Look:\n\n![A square](square.svg)\n\n![A room](room.jpg)\n")
TOUCH = lesson("touch", "::: stop-if\n- it hurts\n:::\n\n![A hand](hand.jpg)\n\n![A circle](circle.svg)\n", needs_check="touch")


def with_pictures(folder: Path, **more: str | bytes) -> Path:
    """The small course with a photograph in its first lesson, and one in the lesson that teaches touch."""
    files: dict[str, str | bytes] = {"01-beginning/01-one.md": ONE, "01-beginning/room.jpg": photograph(), "02-doing/01-touch.md": TOUCH}
    return small_course(folder, **{**files, "02-doing/hand.jpg": photograph("navy"), **more})


def bring_in(folder: Path) -> Result:
    """Import and commit."""
    result = import_course(folder, NOW, publish=True)
    assert not result.report.has_errors, [row.words() for row in result.report.sorted()]
    db.session.commit() if result.committed else db.session.rollback()
    return result


def assets() -> dict[str, Asset]:
    """Every file by its path."""
    return {row.path: row for row in db.session.scalars(sa.select(Asset).execution_options(populate_existing=True))}


def content_of(row: Asset) -> bytes:
    """What is kept of a file."""
    with storage.open_stored(row.storage_key) as file:
        return file.read()


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where pictures would be made anew from now on."""
    made: list[Path] = []
    monkeypatch.setattr(pictures, "prepare_picture", lambda location, *_more: made.append(location))
    return made


def test_a_lesson_offers_its_picture_in_sizes_and_the_learner_can_fetch_each(app: Flask, client: Client, tmp_path: Path) -> None:
    bring_in(with_pictures(tmp_path))
    found = assets()
    room = "01-beginning/room.jpg"
    assert {path.partition("//")[2] for path, row in found.items() if row.part_of == room} == {"480.webp", "960.webp", "1200.webp"}
    assert (found[room].media_type, found[room].width, found[room].height) == ("image/jpeg", 1200, 900)
    learner = make_user()
    make_enrolment(learner, db.session.scalars(sa.select(Course)).one())
    db.session.commit()
    client.sign_in(learner)
    text = client.visit("learning.lesson", id=db.session.scalars(sa.select(Lesson).where(Lesson.key == "one")).one().public_id).text
    forms = [f"/assets/{found[f'{room}//{width}.webp'].public_id}.webp {width}w" for width in (480, 960, 1200)]
    assert f'srcset="{", ".join(forms)}" sizes="' in text
    assert 'loading="lazy" decoding="async" width="1200" height="900"' in text
    for width in (480, 960, 1200):
        answer = client.get(f"/assets/{found[f'{room}//{width}.webp'].public_id}.webp")
        assert (answer.status_code, answer.content_type) == (200, "image/webp")
        with Image.open(io.BytesIO(answer.data)) as image:
            assert (image.width, image.format) == (width, "WEBP")
    whole = client.get(f"/assets/{found[room].public_id}.jpg").data
    assert b"Maria" not in whole
    assert whole.startswith(b"\xff\xd8")


@pytest.mark.usefixtures("app")
def test_smaller_forms_open_where_their_picture_does(tmp_path: Path) -> None:
    bring_in(with_pictures(tmp_path))
    for row in assets().values():
        expected = (Need.TOUCH, False) if (row.part_of or row.path).startswith("02-doing/") else (Need.NONE, True)
        assert (row.need, row.is_public) == expected, row.path


@pytest.mark.usefixtures("app")
def test_the_same_files_again_change_nothing_and_make_nothing(
    tmp_path: Path, no_decoding: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = no_decoding
    monkeypatch.undo()
    bring_in(with_pictures(tmp_path))
    monkeypatch.setattr(pictures, "prepare_picture", lambda location, *_more: made.append(location))
    again = bring_in(with_pictures(tmp_path))
    assert again.difference.is_empty
    assert not again.committed
    assert made == []


@pytest.mark.usefixtures("app")
def test_one_picture_changed_is_one_file_changed_and_its_address_stays(tmp_path: Path) -> None:
    bring_in(with_pictures(tmp_path))
    before = {path: (row.public_id, row.digest) for path, row in assets().items()}
    again = bring_in(with_pictures(tmp_path, **{"01-beginning/room.jpg": photograph("red")}))
    assert again.difference.assets == ["01-beginning/room.jpg"]
    assert (again.difference.new, again.difference.changed) == ([], [])
    for path, row in assets().items():
        assert before[path][0] == row.public_id
        assert (before[path][1] != row.digest) == path.startswith("01-beginning/room.jpg"), path


@pytest.mark.usefixtures("app")
def test_undoing_puts_the_forms_of_a_picture_back(tmp_path: Path) -> None:
    bring_in(with_pictures(tmp_path / "a"))
    facts = lambda: {path: (row.public_id, row.digest, row.source_digest, row.part_of, row.need) for path, row in assets().items()}  # noqa: E731  # said twice
    before = facts()
    bring_in(with_pictures(tmp_path / "b", **{"01-beginning/room.jpg": photograph("red", 700, 500), "02-doing/hand.jpg": PNG_AS_JPEG}))
    assert facts() != before
    row = last_import(db.session.scalars(sa.select(Course.id)).one())
    assert row is not None
    assert undo(row, NOW, None)
    db.session.commit()
    assert facts() == before
    assert all(content_of(row) for row in assets().values())
    assert bring_in(with_pictures(tmp_path / "a")).difference.assets == []


PNG_AS_JPEG = photograph("olive", 300, 200)


@pytest.mark.usefixtures("app")
def test_an_import_from_before_there_were_pieces_can_still_be_undone(tmp_path: Path) -> None:
    bring_in(with_pictures(tmp_path / "a"))
    bring_in(with_pictures(tmp_path / "b", **{"01-beginning/room.jpg": photograph("red")}))
    row = last_import(db.session.scalars(sa.select(Course.id)).one())
    assert row is not None
    assert row.before is not None
    old = [{name: value for name, value in facts.items() if name not in {"part_of", "source_digest"}} for facts in row.before["assets"]]
    row.before = {**row.before, "assets": old}
    assert undo(row, NOW, None)
    db.session.commit()
    assert all(found.source_digest == found.digest for found in assets().values())


def test_looking_through_does_the_slow_work_and_bringing_in_only_looks_it_up(
    instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(instructor, ("course.zip", packed(with_pictures(tmp_path))))
    work()
    assert only_upload().state is UploadState.READY
    assert db.session.scalar(sa.select(sa.func.count()).select_from(PreparedFile)) == 8
    assert assets() == {}
    made: list[Path] = []
    monkeypatch.setattr(pictures, "prepare_picture", lambda location, *_more: made.append(location))
    decide(instructor, "publish", without_review="1")
    work()
    assert (only_upload().state, made) == (UploadState.COMMITTED, [])
    assert all(row.taken_at is not None for row in db.session.scalars(sa.select(PreparedFile)))


def test_what_was_made_before_a_death_is_not_made_again(instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    prepare_picture = pictures.prepare_picture

    def dies_at_the_second(location: Path, suffix: str, folder: Path) -> list[object]:
        made.append(location.name)
        if len(made) == 2:
            raise KeyboardInterrupt
        return list(prepare_picture(location, suffix, folder))

    send(instructor, ("course.zip", packed(with_pictures(tmp_path))))
    monkeypatch.setattr(pictures, "prepare_picture", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        work()
    db.session.rollback()
    db.session.execute(sa.update(Upload).values(leased_until=None))
    work()
    assert only_upload().state is UploadState.READY
    assert made == ["room.jpg", "hand.jpg", "hand.jpg"]


def test_progress_is_said_and_no_lock_is_held_while_a_picture_is_made(
    instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str | None, int, int, bool]] = []
    prepare_picture = pictures.prepare_picture

    def look(location: Path, suffix: str, folder: Path) -> list[object]:
        is_open = db.session().in_transaction()
        upload = only_upload()
        seen.append((upload.stage, upload.done, upload.total, is_open))
        text = shown(instructor) if not seen[1:] else ""
        assert "Making pictures" in text or seen[1:]
        db.session.rollback()
        return list(prepare_picture(location, suffix, folder))

    send(instructor, ("course.zip", packed(with_pictures(tmp_path))))
    monkeypatch.setattr(pictures, "prepare_picture", look)
    work()
    assert seen == [("preparing", 0, 2, False), ("preparing", 1, 2, False)]


def test_an_upload_thrown_away_stops_before_its_next_picture(instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    prepare_picture = pictures.prepare_picture

    def meanwhile(location: Path, suffix: str, folder: Path) -> list[object]:
        made.append(location.name)
        db.session.execute(sa.update(Upload).values(state=UploadState.CANCELLED, finished_at=clock.now()))
        db.session.commit()
        return list(prepare_picture(location, suffix, folder))

    send(instructor, ("course.zip", packed(with_pictures(tmp_path))))
    monkeypatch.setattr(pictures, "prepare_picture", meanwhile)
    work()
    assert made == ["room.jpg"]
    assert only_upload().state is UploadState.CANCELLED
    assert list(workplace().iterdir()) == []


def test_what_was_made_for_an_upload_nobody_took_goes_after_two_weeks(instructor: Client, tmp_path: Path) -> None:
    taken = with_pictures(tmp_path / "a")
    bring_in(taken)
    send(instructor, ("b.zip", packed(with_pictures(tmp_path / "b", **{"01-beginning/room.jpg": photograph("red")}))))
    work()
    untaken = db.session.scalars(sa.select(PreparedFile).where(PreparedFile.taken_at.is_(None))).all()
    keys = [preparing.key_of(row.digest) for row in untaken]
    assert len(keys) == 4
    now = clock.now()
    assert (sweep(now), sweep(now + preparing.UNTAKEN + timedelta(minutes=1))) == (0, 4)
    db.session.commit()
    kept = {row.storage_key for row in assets().values()}
    assert not [key for key in keys if storage.has(key) and key not in kept]
    assert all(storage.has(key) for key in kept)


@pytest.mark.usefixtures("app")
def test_a_file_lost_from_the_storage_is_made_again(tmp_path: Path) -> None:
    bring_in(with_pictures(tmp_path))
    lost = assets()["01-beginning/room.jpg//480.webp"]
    storage.remove(lost.storage_key)
    again = import_course(with_pictures(tmp_path), NOW, publish=True)
    assert again.difference.is_empty
    assert content_of(lost)


HOSTILE = {
    "an archive behind a picture": ("01-beginning/room.jpg", b"", "two_in_one"),
    "a page under a picture's name": ("01-beginning/room.jpg", b"<html><script>alert(1)</script>", "wrong_content"),
    "a drawing under a photograph's name": ("01-beginning/room.jpg", SVG.encode(), "wrong_content"),
    "a script that begins like a picture": ("01-beginning/x.gif", b"GIF89a/*" + b"\xff" * 20 + b"*/=1;alert(1)//", "picture_broken"),
    "a picture cut off": ("01-beginning/room.jpg", photograph()[:9000], "picture_broken"),
    "a page under a film's name": ("01-beginning/x.mp4", b"\0\0\0\x18ftypisom<html><script>alert(1)</script>", "film_broken"),
    "another film under WAV's name": ("01-beginning/x.wav", b"RIFF\x24\0\0\0AVI LIST" + bytes(40), "wrong_content"),
    "a drawing with a script": ("01-beginning/square.svg", SVG.replace("<rect", "<script>x</script><rect"), "svg_active"),
    "captions that are none": ("01-beginning/x.vtt", "WEBVTT\n\nno time\n", "captions_broken"),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.usefixtures("app")
def test_a_hostile_file_is_named_with_a_way_out_and_nothing_is_written(tmp_path: Path, what: str) -> None:
    path, content, code = HOSTILE[what]
    if what.startswith("an archive"):
        import zipfile

        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("evil.html", "<script>alert(1)</script>")
        content = photograph() + buffer.getvalue()
    result = import_course(with_pictures(tmp_path, **{path: content}), NOW, publish=True)
    rows = [row for row in result.report.rows if row.file == path and row.code == code]
    assert [bool(row.mend) for row in rows] == [True]
    assert not result.committed
    assert db.session.scalars(sa.select(Course)).all() == []


@pytest.mark.usefixtures("app")
def test_kinds_that_browsers_do_not_show_are_told_what_to_become(tmp_path: Path) -> None:
    result = import_course(with_pictures(tmp_path, **{"01-beginning/a.heic": b"\0\0\0\x18ftypheic", "01-beginning/b.avi": b"RIFF"}), NOW)
    mends = {row.file: row.mend for row in result.report.rows if row.code == "kind_unknown"}
    assert "JPEG" in mends["01-beginning/a.heic"]
    assert "MP4" in mends["01-beginning/b.avi"]


@pytest.mark.usefixtures("app")
def test_captions_are_found_beside_their_film_whatever_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.authoring.test_films import PICTURES, by_hand

    monkeypatch.setattr(films, "has_ffmpeg", lambda: False)
    captions = "1\n00:00:01,000 --> 00:00:02,000\nBreathe in.\n"
    one = lesson("one", "![Breathing](talk.mp4)\n\n![A square](square.svg)\n\n![Worksheet](sheet.pdf)\n\nOr take [the sheet](sheet.pdf).\n")
    files = {"01-one.md": one, "talk.mp4": by_hand(PICTURES), "talk.srt": captions, "sheet.pdf": b"%PDF-1.7\n%%EOF"}
    bring_in(small_course(tmp_path, **{f"01-beginning/{name}": content for name, content in files.items()}))
    found, html = assets(), db.session.scalars(sa.select(Lesson).where(Lesson.key == "one")).one().revision.html
    track = found["01-beginning/talk.srt"]
    assert f'src="/assets/{track.public_id}.srt"' in html
    assert (track.media_type, track.need, content_of(track)[:6]) == ("text/vtt", Need.NONE, b"WEBVTT")
    address = f"/assets/{found['01-beginning/sheet.pdf'].public_id}.pdf"
    assert html.count(f'href="{address}"') == 2
    assert html.count('download="worksheet.pdf"') == 2
    assert "Worksheet (PDF)" in html


@pytest.mark.usefixtures("app")
def test_the_printed_copy_takes_the_picture_itself(tmp_path: Path) -> None:
    bring_in(with_pictures(tmp_path))
    found = images_of(db.session.scalars(sa.select(Course)).one())
    assert sorted(found) == ["01-beginning/room.jpg", "01-beginning/square.svg", "02-doing/circle.svg", "02-doing/hand.jpg"]


@pytest.mark.usefixtures("app")
def test_a_new_recipe_makes_everything_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_in(with_pictures(tmp_path))
    monkeypatch.setattr(pictures, "RECIPE", "picture-next")
    monkeypatch.setattr(pictures, "QUALITY", 40)
    assert bring_in(with_pictures(tmp_path)).difference.assets == ["01-beginning/room.jpg", "02-doing/hand.jpg"]


def test_a_picture_of_one_point_is_a_picture(tmp_path: Path, app: Flask) -> None:
    one = lesson("one", "![A dot](dot.png)\n\n![A square](square.svg)\n")
    bring_in(small_course(tmp_path, **{"01-beginning/01-one.md": one, "01-beginning/dot.png": PNG}))
    assert assets()["01-beginning/dot.png"].width == 1
