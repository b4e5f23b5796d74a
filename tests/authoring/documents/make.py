"""Makes the documents beside it: our own text, saved by LibreOffice as Word and PowerPoint files.

python -m tests.authoring.documents.make [NAME …]       (needs soffice on the PATH: Writer and Impress; those here are of 7.4)
"""

import base64
import io
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
NAMESPACES = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in (
        ("office", "office"),
        ("text", "text"),
        ("table", "table"),
        ("style", "style"),
        ("draw", "drawing"),
        ("svg", "svg-compatible"),
        ("fo", "xsl-fo-compatible"),
        ("presentation", "presentation"),
    )
)
NAMESPACES += ' xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://purl.org/dc/elements/1.1/"'


def png(width: int, height: int, grey: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([grey]) * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def picture(grey: int, alt: str, anchor: str = 'text:anchor-type="as-char"') -> str:
    """A picture with its words."""
    data = base64.b64encode(png(40, 20, grey)).decode()
    image = f"<draw:image><office:binary-data>{data}</office:binary-data></draw:image>"
    return f'<draw:frame {anchor} svg:width="4cm" svg:height="2cm">{image}<svg:desc>{alt}</svg:desc></draw:frame>'


STYLES = f"""<office:styles>{
    "".join(
        f'<style:style style:name="{name.replace(" ", "_20_")}" style:display-name="{name}" style:family="paragraph" style:class="text"{level}/>'
        for name, level in (
            ("Title", ""),
            ("Subtitle", ""),
            ("Quotations", ""),
            *((f"Heading {n}", f' style:default-outline-level="{n}"') for n in (1, 2, 3)),
        )
    )
}</office:styles>
<office:automatic-styles>
<style:style style:name="B" style:family="text"><style:text-properties fo:font-weight="bold"/></style:style>
<style:style style:name="I" style:family="text"><style:text-properties fo:font-style="italic"/></style:style>
<style:style style:name="S" style:family="text"><style:text-properties style:text-position="super 58%"/></style:style>
<text:list-style style:name="L1"><text:list-level-style-bullet text:level="1" text:bullet-char="•"/><text:list-level-style-number text:level="2" style:num-format="1" style:num-suffix="."/></text:list-style>
<text:list-style style:name="L2"><text:list-level-style-number text:level="1" style:num-format="1" style:num-suffix="."/></text:list-style>
</office:automatic-styles>"""


def heading(level: int, words: str) -> str:
    return f'<text:h text:style-name="Heading_20_{level}" text:outline-level="{level}">{words}</text:h>'


def paragraph(words: str, style: str = "Standard") -> str:
    return f'<text:p text:style-name="{style}">{words}</text:p>'


def letter(body: str, before: str = "") -> str:
    """A flat text document."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document {NAMESPACES} office:version="1.2" '
        f'office:mimetype="application/vnd.oasis.opendocument.text">{STYLES}<office:body><office:text>{before}{body}</office:text></office:body></office:document>'
    )


TABLE = """<table:table table:name="T"><table:table-column/><table:table-column/><table:table-column/>
<table:table-header-rows><table:table-row><table:table-cell><text:p>Day</text:p></table:table-cell><table:table-cell><text:p>Minutes</text:p></table:table-cell><table:table-cell><text:p>Note | sign</text:p></table:table-cell></table:table-row></table:table-header-rows>
<table:table-row><table:table-cell><text:p>Monday</text:p></table:table-cell><table:table-cell><text:p>5</text:p></table:table-cell><table:table-cell><text:p>First line</text:p><text:p>Second line</text:p></table:table-cell></table:table-row>
<table:table-row><table:table-cell table:number-columns-spanned="2"><text:p>The rest of the week</text:p></table:table-cell><table:covered-table-cell/><table:table-cell><text:p>as it suits</text:p></table:table-cell></table:table-row></table:table>"""
LIST = """<text:list text:style-name="L1"><text:list-item><text:p>Sit</text:p><text:list><text:list-item><text:p>on a chair</text:p></text:list-item><text:list-item><text:p>on the floor</text:p></text:list-item></text:list></text:list-item><text:list-item><text:p>Rest</text:p></text:list-item></text:list>"""
STEPS = """<text:list text:style-name="L2"><text:list-item><text:p>Breathe in</text:p></text:list-item><text:list-item><text:p>Breathe out</text:p></text:list-item></text:list>"""
NOTE = '<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body><text:p>From a book of <text:span text:style-name="I">2019</text:span>.</text:p></text:note-body></text:note>'
COMMENT = "<office:annotation><dc:creator>Anna</dc:creator><dc:date>2026-01-01T10:00:00</dc:date><text:p>Is this true?</text:p></office:annotation>"
BOX = '<draw:frame text:anchor-type="paragraph" svg:width="5cm" svg:height="2cm"><draw:text-box><text:p>Words in a box.</text:p></draw:text-box></draw:frame>'
MATH = '<draw:frame text:anchor-type="as-char" svg:width="2cm" svg:height="1cm"><draw:object><math xmlns="http://www.w3.org/1998/Math/MathML"><mfrac><mi>a</mi><mi>b</mi></mfrac></math></draw:object></draw:frame>'
CHANGES = """<text:tracked-changes><text:changed-region text:id="c1"><text:insertion><office:change-info><dc:creator>Anna</dc:creator><dc:date>2026-01-01T10:00:00</dc:date></office:change-info></text:insertion></text:changed-region>
<text:changed-region text:id="c2"><text:deletion><office:change-info><dc:creator>Anna</dc:creator><dc:date>2026-01-01T10:00:00</dc:date></office:change-info><text:p>quickly </text:p></text:deletion></text:changed-region></text:tracked-changes>"""

LESSON = letter(
    paragraph("Belly breathing", "Title")
    + heading(2, "Before you begin")
    + paragraph(
        f'Breathe <text:span text:style-name="B">slowly</text:span> and <text:span text:style-name="I">without effort</text:span>.{NOTE} A room of 12 m<text:span text:style-name="S">2</text:span> &lt;b&gt; *is* enough_for_all [really].'
    )
    + paragraph(
        'Read <text:a xlink:href="https://example.org/a_b(c)">more about it</text:a> or <text:a xlink:href="#Later">further down</text:a>, or in <text:a xlink:href="lesson:one">the first lesson</text:a>.'
    )
    + paragraph("::: stop-if")
    + '<text:list text:style-name="L1"><text:list-item><text:p>it hurts</text:p></text:list-item></text:list>'
    + paragraph(":::")
    + heading(2, "What to do")
    + LIST
    + paragraph("Then:")
    + STEPS
    + paragraph(picture(128, "A person lying on the back, one hand on the belly"))
    + heading(3, "How often")
    + TABLE
    + paragraph("A quiet place helps.", "Quotations")
    + paragraph("1. This is no list, and # this is no heading.")
)
SEVERAL = letter(
    paragraph("Care of scars", "Title")
    + paragraph("Words before the first heading.")
    + heading(1, "Before")
    + paragraph(f"The first lesson.{NOTE}")
    + heading(2, "A part of it")
    + paragraph(picture(200, "A scar, seen from above"))
    + heading(1, "After &amp; later")
    + paragraph("The second lesson.")
    + heading(3, "Deep")
    + paragraph("More words.")
)
LOSSES = letter(
    heading(1, "Everything that is lost")
    + paragraph(f"A remark.{COMMENT} An equation {MATH}.")
    + heading(2, "Boxes")
    + paragraph(f"{BOX}Beside it.")
    + paragraph(picture(90, ""))
    + paragraph(
        'Added: <text:change-start text:change-id="c1"/>calmly <text:change-end text:change-id="c1"/>and <text:change text:change-id="c2"/>gently.'
    ),
    CHANGES,
)


def evening(alt: str) -> str:
    """What an instructor writes in a first hour: a lesson with headings, lists, a table and a picture, whose words may be forgotten."""
    table = "".join(
        f"<table:table-row>{''.join(f'<table:table-cell><text:p>{words}</text:p></table:table-cell>' for words in row)}</table:table-row>"
        for row in (("When", "How long"), ("Before supper", "3 minutes"), ("In bed", "5 minutes"))
    )
    return letter(
        paragraph("An evening of rest", "Title")
        + paragraph("How to end a day, with a list and a picture. Nothing here asks anything of the body.", "Subtitle")
        + heading(2, "What you need")
        + LIST
        + paragraph(picture(150, alt))
        + heading(2, "How it goes")
        + STEPS
        + f'<table:table table:name="T"><table:table-column/><table:table-column/>{table}</table:table>'
    )


def desk(target: Path, alt: str) -> None:
    """The same as slides, with one layout alone so that the file stays small."""
    import pptx
    from pptx.util import Cm

    show = pptx.Presentation()
    box = (Cm(2), Cm(12), Cm(12), Cm(4))
    pages = [show.slides.add_slide(show.slide_layouts[1]) for _page in range(2)]
    for page, title, points in zip(
        pages, ("Rest at a desk", "Twice a day"), (("Sit back", "Let go"), ("Stand up", "Sit down")), strict=True
    ):
        page.shapes.title.text = title
        page.placeholders[1].text_frame.text = "\n".join(points)
    pages[0].shapes.add_picture(io.BytesIO(png(40, 20, 120)), *box)._element.nvPicPr.cNvPr.set("descr", alt)
    cells = pages[1].shapes.add_table(2, 2, *box).table
    for row, words in enumerate((("When", "How long"), ("At noon", "2 minutes"))):
        for column, word in enumerate(words):
            cells.cell(row, column).text = word
    show.save(str(target))


def presentation(target: Path) -> None:
    """A presentation with what instructors put on slides, for LibreOffice to write anew in its own way."""
    import pptx
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.enum.shapes import MSO_SHAPE
    from pptx.util import Cm

    show = pptx.Presentation()
    box = (Cm(2), Cm(8), Cm(10), Cm(4))
    first = show.slides.add_slide(show.slide_layouts[0])
    first.shapes.title.text, first.placeholders[1].text = "Letting go", "A talk for the evening"

    second = show.slides.add_slide(show.slide_layouts[1])
    second.shapes.title.text = "What it is"
    body = second.placeholders[1].text_frame
    body.text = "First"
    for words, level in (("Within", 1), ("Second", 0)):
        body.add_paragraph().text = words
        body.paragraphs[-1].level = level
    run = body.add_paragraph().add_run()
    run.text, run.font.bold, run.hyperlink.address = "Third", True, "https://example.org/third"
    kept = second.shapes.add_picture(io.BytesIO(png(40, 20, 60)), *box)
    kept._element.nvPicPr.cNvPr.set("descr", "A hammock between two trees")
    second.notes_slide.notes_text_frame.text = "Say it slowly."

    third = show.slides.add_slide(show.slide_layouts[6])
    third.shapes.add_textbox(*box).text_frame.text = "A slide without a title."
    cells = third.shapes.add_table(2, 3, *box).table
    for row in range(2):
        for column in range(3):
            cells.cell(row, column).text = f"{'ab'[row]}{column}"
    cells.cell(1, 0).merge(cells.cell(1, 1))

    fourth = show.slides.add_slide(show.slide_layouts[5])
    fourth.shapes.title.text = "Nobody sees this"
    fourth._element.set("show", "0")

    fifth = show.slides.add_slide(show.slide_layouts[5])
    fifth.shapes.title.text = "Last"
    data = CategoryChartData()
    data.categories = ["Mon", "Tue"]
    data.add_series("Minutes", (5, 8))
    fifth.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *box, data)
    fifth.shapes.add_shape(MSO_SHAPE.CLOUD, *box)
    fifth.shapes.add_picture(io.BytesIO(png(40, 20, 90)), *box)._element.nvPicPr.cNvPr.set("descr", "")
    group = fifth.shapes.add_group_shape()
    group.shapes.add_textbox(*box).text_frame.text = "Inside a group."
    show.save(str(target))


EVENING, DESK = "A lamp beside a bed", "A chair at a desk"
SOURCES = {
    "lesson.docx": LESSON,
    "several.docx": SEVERAL,
    "losses.docx": LOSSES,
    "evening.docx": evening(EVENING),
    "evening-forgotten.docx": evening(""),
}
SLIDES: dict[str, Callable[[Path], None]] = {
    "slides.pptx": presentation,
    "desk.pptx": lambda target: desk(target, DESK),
    "desk-forgotten.pptx": lambda target: desk(target, ""),
}


def main(*wanted: str) -> None:
    """Write every document anew, or those that are named."""
    office = shutil.which("soffice") or sys.exit("soffice is not on the PATH")
    with tempfile.TemporaryDirectory() as place:

        def save(source: Path, suffix: str, folder: Path) -> None:
            profile = f"-env:UserInstallation={Path(place).as_uri()}/profile"
            subprocess.run(
                [office, profile, "--headless", "--convert-to", suffix, "--outdir", str(folder), str(source)], check=True, timeout=300
            )

        for name, text in SOURCES.items():
            if not wanted or name in wanted:
                source = Path(place) / name.replace(".docx", ".fodt")
                source.write_text(text, encoding="utf-8")
                save(source, "docx", HERE)
        for name, write in SLIDES.items():
            if not wanted or name in wanted:
                write(Path(place) / name)
                save(Path(place) / name, "odp", Path(place))
                save((Path(place) / name).with_suffix(".odp"), "pptx", HERE)


if __name__ == "__main__":
    main(*sys.argv[1:])
