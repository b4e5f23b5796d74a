"""Rewording: the HTML that mammoth makes of a Word document as Markdown, lesson by lesson."""

import re
from itertools import pairwise
from xml.etree import ElementTree

from courseapp.authoring import prose
from courseapp.authoring.report import Report

Element = ElementTree.Element
MARKS = {"strong": "**", "em": "*", "s": "~~"}
PICTURE = re.compile(r"!\[(?:[^\]\\\n]|\\.)*\]\([^\s)]+\)")
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
ALT_WHERE = (
    "In Word: click the picture with the right button, choose “View Alt Text”, and write what it shows. Take out what only decorates."
)


class Rewording:
    """Writes one document's elements as Markdown, and names what changes on the way."""

    def __init__(self, shown: str, report: Report) -> None:
        self._shown, self._report = shown, report
        self._place = ""
        self._notes: dict[str, str] = {}
        self._used: list[str] = []
        self._merged: list[str] = []
        self._pictures = 0

    def lessons(self, body: Element) -> list[tuple[str, str, str]]:
        """(title, what it shows, Markdown) of each lesson: one for each first-level heading where there are several; else all of it."""
        elements = list(body)
        elements = self._take_notes(elements)
        title = next((_words(one) for one in elements if one.get("class") == "title" and _words(one)), "")
        elements = [one for one in elements if one.get("class") != "title"]
        firsts = [index for index, one in enumerate(elements) if one.tag == "h1"]
        if len(firsts) > 1:
            starts = [0, *firsts[1:], len(elements)]  # what stands before the first heading belongs to the first lesson
            parts = [elements[start:end] for start, end in pairwise(starts)]
            found = [
                self._lesson(_words(elements[first]), [one for one in part if one is not elements[first]], 0)
                for first, part in zip(firsts, parts, strict=True)
            ]
        elif firsts and not title:
            title = _words(elements[firsts[0]])
            found = [self._lesson(title, [one for one in elements if one.tag != "h1"], 0)]
        else:
            found = [self._lesson(title, elements, 1 if firsts else 0)]
        self._say_what_changed(elements)
        if len(found) > 1:
            words = f"It became {len(found)} lessons, one for each heading of the first level."
            words += f" Its title, “{title}”, could be the module’s." if title else ""
            mend = "To keep it as one lesson, give those headings the style “Heading 2”."
            self._report.warn("document_lessons", self._shown, 0, words, mend)
        return found

    def _lesson(self, title: str, elements: list[Element], deeper: int) -> tuple[str, str, str]:
        self._place, self._used = title, []
        shows = next((_words(one) for one in elements if one.get("class") == "subtitle"), "")
        elements = [one for one in elements if one.get("class") != "subtitle" or _words(one) != shows]
        blocks = self._blocks(elements, deeper)
        notes = [f"[^{key}]: {self._notes[key]}" for key in dict.fromkeys(self._used) if key in self._notes]
        return prose.paragraph(prose.escaped(title)), shows, "\n\n".join(filter(None, [*blocks, *notes]))

    def _say_what_changed(self, elements: list[Element]) -> None:
        if self._merged:
            words = f"A table has merged cells, or tables within{prose.places(self._merged)}."
            self._report.warn("document_table", self._shown, 0, words, prose.MERGED)
        bold = [one for one in elements if one.tag == "p" and len(one) == 1 and one[0].tag == "strong" and not (one.text or one[0].tail)]
        if len(bold) > 1 and not any(one.tag in HEADINGS for one in elements):
            words = f"The document has no headings; {len(bold)} paragraphs in bold look like some."
            self._report.warn(
                "document_headings", self._shown, 0, words, "Give them the style “Heading 2” in Word, so that readers can find their way."
            )

    def _take_notes(self, elements: list[Element]) -> list[Element]:
        """Footnotes and endnotes stand in a last list, each known by its id."""
        if not elements or elements[-1].tag != "ol" or not all(re.match(r"(foot|end)note-", item.get("id") or "") for item in elements[-1]):
            return elements
        for item in elements[-1]:
            for parent in item.iter():
                for child in list(parent):
                    if child.tag == "a" and (child.get("href") or "").startswith(("#footnote-ref", "#endnote-ref")):
                        parent.remove(child)
            key = _note_key(item.get("id") or "")
            self._notes[key] = prose.joined(self._blocks(list(item), 0) if len(item) else [self._inline(item)])
        return elements[:-1]

    def _blocks(self, elements: list[Element], deeper: int) -> list[str]:
        blocks: list[str] = []
        for index, element in enumerate(elements):
            if element.tag in HEADINGS:
                words = self._inline(element, flat=True).strip()
                self._place = _words(element) or self._place
                level = min(5, max(2, int(element.tag[1]) + deeper))
                blocks.append(f"{'#' * level} {words}" if words else "")
            elif element.tag in {"ul", "ol"}:
                follows = index > 0 and elements[index - 1].tag == element.tag
                blocks.append(self._list(element, 0, "1)" if follows and blocks[-1].startswith("1. ") else "1."))
            elif element.tag == "table":
                blocks += self._table(element, deeper)
            elif element.tag == "blockquote":
                blocks.append("\n>\n".join(f"> {block}".replace("\n", "\n> ") for block in self._blocks(list(element), deeper)))
            elif element.get("class") == "caption" and blocks and PICTURE.fullmatch(blocks[-1]):
                blocks[-1] = f'{blocks[-1][:-1]} "{_words(element).replace(chr(34), "”")}")'
            else:
                blocks.append(prose.paragraph(self._inline(element)))
        return [block for block in blocks if block]

    def _list(self, element: Element, indent: int, number: str) -> str:
        """A list, with what stands inside its items set in below them."""
        marker = "-" if element.tag == "ul" else number
        lines = []
        for item in element:
            inner = indent + len(marker) + 1
            inside = [child for child in item if child.tag in {"ul", "ol"}]
            words = self._inline(item, without=inside)
            if any(child.tag == "p" for child in item):
                words = "\n\n".join(filter(None, (prose.paragraph(self._inline(child)) for child in item if child.tag == "p")))
            words = prose.paragraph(words).replace("\n", f"\n{' ' * inner}")
            lines.append(f"{' ' * indent}{marker} {words}")
            lines += [self._list(child, inner, "1.") for child in inside]
        return "\n".join(lines)

    def _table(self, element: Element, deeper: int) -> list[str]:
        """A table; one of a single cell is a frame around its words, and only they come over."""
        rows = list(element.iter("tr"))
        cells = [cell for row in rows for cell in row]
        if len(cells) == 1:
            return self._blocks(list(cells[0]), deeper)
        if not cells:
            return []
        if any(cell.get("colspan") or cell.get("rowspan") or cell.find(".//table") is not None for cell in cells):
            self._merged.append(f"“{self._place[:60]}”" if self._place else "")
        inside = {id(row) for cell in cells for inner in cell.findall(".//table") for row in inner.findall(".//tr")}
        return [prose.table(self._spread([row for row in rows if id(row) not in inside]))]

    def _spread(self, rows: list[Element]) -> list[list[str]]:
        """The cells' words in rows and columns; merged cells leave empty ones behind."""
        out: list[list[str]] = []
        hanging: dict[int, int] = {}  # column → how many rows more a cell from above takes
        for row in rows:
            line: list[str] = []
            for cell in row:
                while hanging.get(len(line), 0):
                    hanging[len(line)] -= 1
                    line.append("")
                across, down = (min(63, max(1, int(cell.get(name) or 1))) for name in ("colspan", "rowspan"))
                for column in range(across):
                    if down > 1:
                        hanging[len(line)] = down - 1
                    line.append(self._cell(cell) if column == 0 else "")
            while hanging.get(len(line), 0):
                hanging[len(line)] -= 1
                line.append("")
            out.append(line)
        return out

    def _cell(self, cell: Element) -> str:
        parts = []
        for child in cell:
            if child.tag == "table":
                parts += [self._cell(inner) for inner in child.iter("td")]
            elif child.tag in {"ul", "ol"}:
                parts += [self._inline(item, flat=True) for item in child.iter("li")]
            else:
                parts.append(self._inline(child, flat=True))
        return prose.joined(parts)

    def _inline(self, element: Element, flat: bool = False, without: list[Element] | None = None) -> str:
        """The words of an element on one line, with their emphasis, links and pictures; `flat` where no line may break."""
        line = prose.escaped(element.text or "")
        for child in element:
            if without and child in without:
                continue
            after = child.tail or ""
            line += self._piece(child, flat, line, after) + prose.escaped(after)
        return line

    def _piece(self, child: Element, flat: bool, before: str, after: str) -> str:
        if child.tag == "br":
            return " " if flat else "\\\n"
        if child.tag == "img":
            return self._picture(child)
        if child.tag == "input":
            return "[x] " if child.get("checked") else "[ ] "
        if child.tag == "sup" and len(child) and (child[0].get("href") or "").startswith(("#footnote-", "#endnote-")):
            key = _note_key((child[0].get("href") or "")[1:])
            self._used.append(key)
            return f"[^{key}]"
        words = self._inline(child, flat)
        if child.tag in MARKS:
            return prose.marked(MARKS[child.tag], words, before, after)
        if child.tag in {"sup", "sub"}:
            return prose.raised(words, child.tag == "sup")
        return prose.link(words, child.get("href") or "") if child.tag == "a" else words

    def _picture(self, image: Element) -> str:
        self._pictures += 1
        place = f"Under “{self._place[:60]}”: " if self._place else ""
        if not image.get("src"):
            kind = image.get("title") or "unknown"
            words = f"{place}picture {self._pictures} is of a kind that lessons cannot show ({kind}) and was left out."
            self._report.warn("document_loss", self._shown, 0, words, "Save it as PNG, and put that into the document.")
            return ""
        alt = " ".join((image.get("alt") or "").split())
        if not alt:
            words = f"{place}picture {self._pictures} has no words for people who cannot see it."
            self._report.error("alt_missing", self._shown, 0, words, ALT_WHERE)
        return f"![{prose.escaped(alt)}]({image.get('src')})" if alt else ""


def _words(element: Element) -> str:
    """The bare words of an element, without the numbers of footnotes."""
    return _bare(element).strip()


def _bare(element: Element) -> str:
    parts = [element.text or ""]
    for child in element:
        parts += ["" if child.tag == "sup" and len(child) else _bare(child), child.tail or ""]
    return re.sub(r"\s+", " ", "".join(parts))


def _note_key(identifier: str) -> str:
    """footnote-2 → 2, endnote-2 → e2."""
    kind, _dash, number = identifier.partition("-")
    return number if kind == "footnote" else f"e{number}"
