"""Word and PowerPoint files become lessons; what does not come over is named; what is hostile stays out, in words."""

import io
import random
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from courseapp.authoring import documents, prose
from courseapp.authoring.documents import convert_documents
from courseapp.authoring.importing import import_course
from courseapp.authoring.models import UploadState
from courseapp.authoring.report import Report
from courseapp.catalog.markdown import parse
from courseapp.catalog.models import Course, Lesson, Module, Revision
from courseapp.extensions import db
from tests.authoring.folders import SVG, small_course, write
from tests.authoring.test_placing import findings, outline, publish, sent
from tests.authoring.test_uploads import decide, only_upload, packed, send, shown, work
from tests.client import Client
from tests.factories import NOW, make_user

MADE = Path(__file__).parent / "documents"
TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
DEFAULTS = (
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="png" ContentType="image/png"/><Default Extension="emf" ContentType="image/x-emf"/>'
)
FIRST = f'<Relationships xmlns="{RELATIONS}"><Relationship Id="a" Type="{OFFICE}/officeDocument" Target="word/%s"/></Relationships>'
SPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    f'xmlns:r="{OFFICE}" xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" '
    'xmlns:o="urn:schemas-microsoft-com:office:office"'
)


def p(inside: str = "", style: str = "") -> str:
    """A paragraph: text, or runs of one's own."""
    words = inside if inside.startswith("<") else f'<w:r><w:t xml:space="preserve">{inside}</w:t></w:r>'
    return f"<w:p>{f'<w:pPr><w:pStyle w:val={style!r}/></w:pPr>' if style else ''}{words}</w:p>"


def image(identifier: str, alt: str, how: str = "embed") -> str:
    """A picture in a line."""
    blip = f'<pic:pic><pic:blipFill><a:blip r:{how}="{identifier}"/></pic:blipFill></pic:pic>'
    graphic = f"<a:graphic><a:graphicData>{blip}</a:graphicData></a:graphic>"
    return f'<w:r><w:drawing><wp:inline><wp:docPr id="1" name="x" descr="{alt}"/>{graphic}</wp:inline></w:drawing></w:r>'


def docx(body: str, more: dict[str, bytes | str] | None = None, relations: str = "", kind: str = WORD, head: str = "") -> bytes:
    """A Word file of one's own making."""
    parts: dict[str, bytes | str] = {
        "[Content_Types].xml": f'<Types xmlns="{TYPES}">{DEFAULTS}<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        "_rels/.rels": FIRST % "document.xml",
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{RELATIONS}">{relations}</Relationships>',
        "word/styles.xml": f"<w:styles {SPACES}>"
        + "".join(
            f'<w:style w:type="paragraph" w:styleId="{key}"><w:name w:val="{name}"/>{based}</w:style>'
            for key, name, based in (
                ("H1", "heading 1", '<w:pPr><w:outlineLvl w:val="0"/></w:pPr>'),
                ("H2", "heading 2", '<w:pPr><w:outlineLvl w:val="1"/></w:pPr>'),
                ("Own", "House heading", '<w:basedOn w:val="H2"/>'),
                ("Loop", "Loop", '<w:basedOn w:val="Loop"/>'),
                ("T1", "toc 1", ""),
                ("C", "caption", ""),
                ("Title", "Title", ""),
                ("Sub", "Subtitle", ""),
            )
        )
        + "</w:styles>",
        "word/document.xml": f"{head}<w:document {SPACES}><w:body>{body}</w:body></w:document>",
        **(more or {}),
    }
    return zipped(parts)


def zipped(parts: dict[str, bytes | str]) -> bytes:
    """An archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def relation(identifier: str, kind: str, target: str, *, outside: bool = False) -> str:
    """A relationship of the document."""
    mode = ' TargetMode="External"' if outside else ""
    return f'<Relationship Id="{identifier}" Type="{OFFICE}/{kind}" Target="{target}"{mode}/>'


Made = tuple[dict[str, str], Report]


def converted(tmp_path: Path, content: bytes, name: str = "page.docx") -> Made:
    """(Markdown by name, report) of a document."""
    folder, place = write(tmp_path / "sent", {name: content}), tmp_path / "work"
    place.mkdir(exist_ok=True)
    report = Report()
    made = convert_documents(folder, place, report, lambda _done, _count: None)
    assert not (folder / name).exists()
    assert not any(path.is_dir() for path in place.iterdir())
    return {path: (folder / path).read_text() for path in made if path.endswith(".md")}, report


def codes(report: Report) -> list[str]:
    """What was found."""
    return [row.code for row in report.rows]


def lesson_titles(module: str) -> list[str]:
    """The titles of a module's lessons."""
    return list(db.session.scalars(sa.select(Lesson.title).join(Module).where(Module.key == module).order_by(Lesson.position)))


def words(report: Report) -> str:
    """What was found, in words."""
    return "\n".join(row.words() for row in report.rows)


@pytest.fixture
def instructor(client: Client, tmp_path: Path) -> Client:
    """An instructor, signed in, with the small course published."""
    assert import_course(small_course(tmp_path / "small"), NOW, publish=True, without_review=True).committed
    client.sign_in(make_user(roles=("instructor",)))
    return client


# Real documents, as LibreOffice writes them


def test_a_word_file_becomes_a_lesson_with_all_that_a_lesson_knows(instructor: Client) -> None:
    sent(instructor, ("02 Belly breathing.docx", (MADE / "lesson.docx").read_bytes()), needs="gentle")
    assert findings("error") == []
    assert {file for _code, file, _line in findings()} == {"02 Belly breathing.docx"}
    assert "merged cells" in shown(instructor)
    publish(instructor)
    row = db.session.scalars(
        sa.select(Lesson).where(Lesson.key == "02-belly-breathing").execution_options(populate_existing=True)
    ).one_or_none()
    row = row or db.session.scalars(sa.select(Lesson).where(Lesson.key == "belly-breathing")).one()
    assert (row.title, row.needs_check.value) == ("Belly breathing", "gentle")
    revision = db.session.scalars(sa.select(Revision).where(Revision.lesson_id == row.id)).one()
    assert "it hurts" in revision.stop_html
    for piece in (
        "<h2>Before you begin</h2>",
        "<strong>slowly</strong>",
        "<em>without effort</em>",
        "12 m²",
        "&lt;b&gt; *is* enough_for_all [really]",
        'href="https://example.org/a_b(c)"',
        "or further down,",
        'href="/lessons/',
        "<li>Sit\n<ol>\n<li>on a chair</li>",
        "<figure><picture><source",
        'alt="A person lying on the back, one hand on the belly"',
        "<h3>How often</h3>",
        "<td>First line; Second line</td>",
        "<td>The rest of the week</td>\n<td></td>",
        "Note | sign</th>",
        "<blockquote>\n<p>A quiet place helps.</p>",
        "<p>1. This is no list, and # this is no heading.</p>",
        "From a book of <em>2019</em>.",
    ):
        assert piece in revision.html, piece


def test_each_first_level_heading_becomes_a_lesson(instructor: Client) -> None:
    difference = sent(instructor, ("scars.docx", (MADE / "several.docx").read_bytes()), into="small/")
    assert difference["new"] == ["before", "after-later"]
    assert "Care of scars" in shown(instructor)
    publish(instructor)
    assert outline()[3:] == [("scars", "before"), ("scars", "after-later")]
    assert lesson_titles("scars") == ["Before", "After & later"]


def test_what_a_word_file_cannot_bring_over_is_named_with_its_place(tmp_path: Path) -> None:
    pages, report = converted(tmp_path, (MADE / "losses.docx").read_bytes())
    said = words(report)
    for piece in (
        "1 comment (“Everything that is lost”)",
        "1 text box (“Boxes”)",
        "1 tracked insertion",
        "1 tracked deletion",
        "Under “Boxes”: picture 1 has no words",
    ):
        assert piece in said
    assert "Added: calmly and gently." in pages["page.md"]
    assert not (tmp_path / "sent" / "page-1.png").exists()  # no lesson shows it
    assert "Is this true" not in pages["page.md"]


def test_slides_become_sections_with_notes_below(instructor: Client) -> None:
    pages: dict[str, Any] = sent(instructor, ("talk.pptx", (MADE / "slides.pptx").read_bytes()))
    assert pages["new"] == ["talk"]
    assert [code for code, _file, _line in findings("error")] == ["alt_missing"]
    said = " ".join(row["message"] for row in only_upload().report)
    for piece in (
        "hidden slide (slide 4)",
        "chart (slide 5)",
        "drawn shape (slide 5)",
        "On slide 5",
        "merged cells (slide 3)",
        "notes now stand in the lesson",
    ):
        assert piece in said, piece


def test_slides_as_markdown(tmp_path: Path) -> None:
    pages, _report = converted(tmp_path, (MADE / "slides.pptx").read_bytes(), "page.pptx")
    head = "# Letting go\n\nA talk for the evening\n\n## What it is\n\n"
    points = "- First\n  - Within\n- Second\n- [**Third**](<https://example.org/third>)\n\n![A hammock"
    assert pages["page.md"].startswith(head + points)
    assert "\n\nSay it slowly.\n\nA slide without a title.\n\n| a0 | a1 | a2 |" in pages["page.md"]
    assert pages["page.md"].endswith("## Last\n\nInside a group.\n")
    assert "Nobody" not in pages["page.md"]


def test_documents_in_a_whole_course_are_completed_where_they_lie(instructor: Client, tmp_path: Path) -> None:
    folder = small_course(tmp_path / "again", **{"01-beginning/03-breathing.docx": (MADE / "lesson.docx").read_bytes()})
    send(instructor, ("course.zip", packed(folder)), needs_check="gentle")
    work()
    assert findings("error") == []
    assert only_upload().difference["new"] == ["breathing"]
    decide(instructor, "publish", without_review="1")
    work()
    assert outline()[:3] == [("beginning", "one"), ("beginning", "two"), ("beginning", "breathing")]


def test_a_document_sent_again_takes_the_lessons_place(instructor: Client) -> None:
    content = docx(p("Breathing", "H1") + p("Words."))
    sent(instructor, ("calm.docx", content))
    publish(instructor)
    db.session.delete(only_upload())
    db.session.commit()
    difference = sent(instructor, ("calm.docx", docx(p("Breathing", "H1") + p("Other words."))))
    assert (difference["new"], difference["changed"]) == ([], ["calm"])


# Made by hand


def test_headings_are_known_by_what_their_style_is_based_on(tmp_path: Path) -> None:
    pages, report = converted(tmp_path, docx(p("Title of it", "H1") + p("A part", "Own") + p("Words", "Loop") + p("A part … 3", "T1")))
    assert pages == {"page.md": "# Title of it\n\n## A part\n\nWords\n"}
    assert report.rows == []


def test_a_title_and_one_heading_keep_their_order(tmp_path: Path) -> None:
    pages, _report = converted(tmp_path, docx(p("Name", "Title") + p("One", "H1") + p("Two", "H2")))
    assert pages["page.md"] == "# Name\n\n## One\n\n### Two\n"


def test_the_subtitle_says_beforehand_what_a_lesson_shows(instructor: Client) -> None:
    body = p("Before", "H1") + p("It shows: hands.", "Sub") + p("Words") + p("After", "H1") + p("More words")
    sent(instructor, ("page.docx", docx(body)))
    assert findings("error") == []
    publish(instructor)
    before, after = (db.session.scalars(sa.select(Lesson).where(Lesson.key == key)).one() for key in ("before", "after"))
    assert (before.shows, after.shows) == ("It shows: hands.", "This lesson is text to read.")
    assert "hands" not in db.session.scalars(sa.select(Revision.html).where(Revision.lesson_id == before.id)).one()


def test_a_picture_has_its_caption_and_a_strange_one_is_named(tmp_path: Path) -> None:
    body = p("A", "H2") + p(image("i", "What it shows]")) + p("Figure: a “b”", "C") + p(image("e", "x"))
    relations = relation("i", "image", "media/i.png") + relation("e", "image", "media/e.emf")
    pages, report = converted(tmp_path, docx(body, {"word/media/i.png": b"png", "word/media/e.emf": b"emf"}, relations))
    assert '![What it shows\\]](page-1.png "Figure: a “b”")' in pages["page.md"]
    assert (tmp_path / "sent" / "page-1.png").read_bytes() == b"png"
    assert "Under “A”: picture 2 is of a kind that lessons cannot show (x-emf)" in words(report)


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("<m:oMath><m:r><m:t>x</m:t></m:r></m:oMath>", "1 equation (“A”) was left out"),
        ('<w:r><w:drawing><c:chart r:id="x"/></w:drawing></w:r>', "1 chart (“A”)"),
        ('<w:r><w:drawing><dgm:relIds r:dm="x"/></w:drawing></w:r>', "1 SmartArt drawing (“A”)"),
        ('<w:r><w:object><o:OLEObject ProgID="x"/></w:object></w:r>', "1 embedded object (“A”)"),
    ],
)
def test_each_loss_is_named_once_with_its_heading(tmp_path: Path, inside: str, said: str) -> None:
    _pages, report = converted(tmp_path, docx(p("A", "H2") + p(f"<w:r><w:t>w</w:t></w:r>{inside}")))
    assert said in words(report)
    assert len(report.rows) == 1


def test_bold_lines_in_the_place_of_headings_are_pointed_out(tmp_path: Path) -> None:
    bold = "<w:r><w:rPr><w:b/></w:rPr><w:t>Like a heading</w:t></w:r>"
    _pages, report = converted(tmp_path, docx(p(bold) + p("Words") + p(bold) + p("Words")))
    assert codes(report) == ["document_headings"]


@pytest.mark.parametrize(
    "text",
    [
        "# x",
        "1. x",
        "- x",
        "+ x",
        "> x",
        "---",
        "===",
        "*x*",
        "_x_",
        "[x](y)",
        "![x](y)",
        "`x`",
        "<b>x</b>",
        "&amp; &#35;",
        "~~x~~",
        "\\*",
        "a|b",
        "[^1]",
        "::: x",
        "x  ",
    ],
)
def test_no_words_become_markup(tmp_path: Path, text: str) -> None:
    tokens = parse(prose.paragraph(prose.escaped(text)))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} == {"text"}
    assert "".join(child.content for child in children).replace("“", '"') == text.strip()


@settings(max_examples=400, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=40))
def test_any_words_come_back_as_they_were(text: str) -> None:
    line = " ".join(text.split())
    assume(line and not prose.BOX.fullmatch(line))
    made = f"a\n\n{prose.paragraph(prose.escaped(line))}\n\n| {prose.escaped(line)} | x |\n| --- | --- |\n"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(made)
    assert [token.type for token in tokens][3:7] == ["paragraph_open", "inline", "paragraph_close", "table_open"]
    for token in [token for token in tokens if token.type == "inline"][1:3]:
        assert {child.type for child in token.children or ()} <= {"text"}
        assert "".join(child.content for child in token.children or ()) == line


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(["lesson.docx", "losses.docx", "slides.pptx"]), seed=st.integers(0, 2**32), part=st.integers(0, 60))
def test_no_damage_goes_unsaid(name: str, seed: int, part: int) -> None:
    rng = random.Random(seed)
    with zipfile.ZipFile(MADE / name) as archive:
        parts: dict[str, bytes | str] = {entry: archive.read(entry) for entry in archive.namelist()}
    entry = sorted(parts)[part % len(parts)]
    content = bytearray(parts[entry])  # type: ignore[arg-type]  # read from an archive, so bytes
    for _change in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        content[start : start + rng.randint(0, 30)] = rng.choice([b"", b"<", b"w:p", b"0", b'"', b"/", bytes(rng.randbytes(3)), b"rId1"])
    with tempfile.TemporaryDirectory() as place:
        pages, report = converted(Path(place), zipped({**parts, entry: bytes(content)}), f"page.{name[-4:]}")
    assert pages or report.has_errors


@pytest.mark.parametrize(
    ("name", "said"), [("old.doc", ".docx"), ("macros.docm", ".docx"), ("old.ppt", ".pptx"), ("x.odt", ".docx"), ("x.key", ".pptx")]
)
def test_other_kinds_are_told_what_to_be_saved_as(tmp_path: Path, name: str, said: str) -> None:
    pages, report = converted(tmp_path, b"whatever", name)
    assert (pages, codes(report)) == ({}, ["document_kind"])
    assert said in report.rows[0].mend


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
BOMB = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'
SECRET = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY s SYSTEM "file:///etc/passwd">]>'
PLAIN = docx(p("Words"))


def lying(content: bytes, size: int) -> bytes:
    """An archive whose first entry says another size than it has."""
    place = content.index(b"PK\x01\x02") + 24
    return content[:place] + struct.pack("<I", size) + content[place + 4 :]


HOSTILE: dict[str, tuple[bytes, str]] = {
    "expanding entities": (docx(p("&l11;"), head=BOMB), "document_not_plain"),
    "an entity outside": (docx(p("&s;"), head=SECRET), "document_not_plain"),
    "entities in utf-16": (
        docx("", {"word/document.xml": f"{BOMB}<x>&l11;</x>".replace("?>", ' encoding="utf-16"?>', 1).encode("utf-16")}),
        "document_not_plain",
    ),
    "entities in relationships": (docx(p("x"), {"word/_rels/document.xml.rels": f"{BOMB}<x>&l11;</x>"}), "document_not_plain"),
    "entities in the first relationships": (docx(p("x"), {"_rels/.rels": f"{BOMB}<x>&l11;</x>"}), "document_not_plain"),
    "a main part by another name": (
        docx(
            "",
            {
                "_rels/.rels": FIRST % "x.bin",
                "word/x.bin": f"{BOMB}<w:document {SPACES}>&l11;</w:document>",
            },
        ),
        "document_broken",
    ),
    "an encoding nobody knows": (docx(p("x"), head='<?xml version="1.0" encoding="U-1TF-8"?>'), "document_not_plain"),
    "nested too deep": (docx("<w:p>" * 5000 + "</w:p>" * 5000), "document_not_plain"),
    "too much text": (docx(p("a" * 3_000_001)), "document_not_plain"),
    "a bomb": (docx(p("x"), {"word/media/x.png": b"\0" * 60_000_000}), "document_too_large"),
    "a path outside": (docx(p("x"), {"../../x.xml": "<x/>"}), "document_odd"),
    "truncated": (PLAIN[:-200], "document_broken"),
    "no archive": (b"PK\x03\x04 nothing", "document_broken"),
    "empty": (b"", "document_broken"),
    "a lying size": (lying(PLAIN, 10), "document_broken"),
    "of before 2007": (OLE + bytes(2000), "document_old"),
    "with a password": (OLE + bytes(2000) + "EncryptedPackage".encode("utf-16-le"), "document_locked"),
    "a presentation": ((MADE / "slides.pptx").read_bytes(), "document_kind"),
    "with macros": (docx(p("x"), kind="application/vnd.ms-word.document.macroEnabled.main+xml"), "document_kind"),
    "a spreadsheet": (docx(p("x"), kind="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"), "document_kind"),
    "any archive": (zipped({"a.txt": "x"}), "document_kind"),
    "broken words": (docx("<w:p>"), "document_not_plain"),
    "no document in it": (
        zipped({"[Content_Types].xml": f'<Types xmlns="{TYPES}"><Override PartName="/x" ContentType="{WORD}"/></Types>'}),
        "document_broken",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_refused_in_words_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    content, code = HOSTILE[name]
    pages, report = converted(tmp_path, content)
    assert (pages, codes(report)) == ({}, [code]), words(report)
    assert report.rows[0].mend
    assert list((tmp_path / "sent").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sent", "work"]  # nothing beside it


@pytest.mark.parametrize("name", ["expanding entities", "a bomb", "truncated"])
def test_a_hostile_upload_changes_nothing(instructor: Client, name: str) -> None:
    before = outline()
    sent(instructor, ("page.docx", HOSTILE[name][0]))
    assert only_upload().state is UploadState.REFUSED
    assert HOSTILE[name][1] in {code for code, _file, _line in findings("error")}
    assert outline() == before


def test_slides_refuse_what_word_files_refuse(tmp_path: Path) -> None:
    with zipfile.ZipFile(MADE / "slides.pptx") as archive:
        parts: dict[str, bytes | str] = {name: archive.read(name) for name in archive.namelist()}
    name = "ppt/slides/slide1.xml"
    hostile = {**parts, name: BOMB.encode() + bytes(parts[name]).split(b"?>", 1)[1]}  # type: ignore[arg-type]  # read from an archive, so bytes
    pages, report = converted(tmp_path, zipped(hostile), "page.pptx")
    assert (pages, codes(report)) == ({}, ["document_not_plain"])


@pytest.mark.parametrize("target", ["http://127.0.0.1:9/x.png", "file:///etc/passwd", "../../../../../../etc/passwd"])
def test_pictures_that_lie_elsewhere_are_never_fetched(tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(*_words: Any, **_more: Any) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr("urllib.request.urlopen", fetched)
    monkeypatch.setattr("mammoth.docx.files.urlopen", fetched)
    content = docx(p("Words") + p(image("i", "x", "link")), relations=relation("i", "image", target, outside=True))
    pages, report = converted(tmp_path, content)
    assert pages == {"page.md": "Words\n"}
    assert "pictures lie outside the document and were not fetched" in words(report)


def test_a_picture_from_outside_the_archive_is_not_there(tmp_path: Path) -> None:
    content = docx(p("Words") + p(image("i", "x")), relations=relation("i", "image", "../../../../../etc/passwd"))
    pages, _report = converted(tmp_path, content)
    assert "root:" not in str(pages)
    assert not list((tmp_path / "sent").glob("*-1.*"))


def test_a_script_for_a_link_is_only_words(tmp_path: Path) -> None:
    linked = '<w:hyperlink r:id="l"><w:r><w:t>press</w:t></w:r></w:hyperlink>'
    pages, _report = converted(tmp_path, docx(p(linked), relations=relation("l", "hyperlink", "javascript:alert(1)", outside=True)))
    assert pages == {"page.md": "press\n"}


def test_whatever_a_library_raises_is_said_and_the_rest_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_words: Any) -> None:
        raise RecursionError

    monkeypatch.setitem(documents.CONVERTERS, ".docx", broken)
    write(tmp_path / "sent", {"other.pptx": (MADE / "slides.pptx").read_bytes()})
    pages, report = converted(tmp_path, PLAIN)
    assert list(pages) == ["other.md"]
    assert "document_broken" in codes(report)


def test_names_of_pictures_do_not_meet_those_of_other_files(tmp_path: Path) -> None:
    write(tmp_path / "sent", {"page-1.svg": SVG, "page.md": "x"})
    pages, _report = converted(tmp_path, PLAIN)
    assert list(pages) == ["page-2.md"]


def test_the_course_stays_as_it_is_where_a_document_alone_is_sent_as_one(instructor: Client) -> None:
    send(instructor, ("page.docx", PLAIN), needs_check="none")
    work()
    assert "course_missing" in {code for code, _file, _line in findings("error")}
    assert "choose the course" in shown(instructor)
    assert len(db.session.scalars(sa.select(Course)).all()) == 1
