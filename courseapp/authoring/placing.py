"""Placing: files sent into a course that is there already are laid over it, so that the one pipeline looks at the whole.

Laying over adds and replaces; it never takes away what the upload does not name. What is found is told by the names
and lines of the files as they were sent, not as they lie here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from courseapp.authoring.completing import Completed, Gaps, complete_lesson, complete_module, key_in
from courseapp.authoring.exporting import Part, lay_out, with_front
from courseapp.authoring.front_matter import FENCED, read_fields, words_of_file
from courseapp.authoring.reading import order_of
from courseapp.authoring.report import Report, Row, Severity
from courseapp.authoring.unpacking import Refused
from courseapp.catalog.models import Course, Need

PIECE = 1024 * 1024
CHOOSE_AGAIN = "Upload the files again, and choose anew."


@dataclass(frozen=True)
class Target:
    """Where an upload goes: into a course, into one of its modules or a new one; what its lessons ask of the body, if the form said."""

    course: Course
    module: str | None = None
    title: str = ""
    needs: Need | None = None


@dataclass(frozen=True)
class Origin:
    """What a laid file was when it was sent: its name, where lines were added, and for a document its headings by line."""

    name: str
    after: int = 0
    added: int = 0
    headings: tuple[tuple[int, str], ...] | None = None

    def told(self, row: Row) -> Row:
        """A finding, by the name and line of the file as it was sent."""
        if self.headings is None:
            return replace(row, file=self.name, line=row.line if row.line <= self.after else max(self.after, row.line - self.added))
        above = [words for line, words in self.headings if line <= row.line]
        return replace(row, file=self.name, line=0, message=f"Under “{above[-1]}”: {row.message}" if above and row.line else row.message)


@dataclass
class Laid:
    """What lies in the course folder because of this upload.

    `made_from` are pages made of documents, by their path when sent; `before` is what lay there already; findings since
    `told` are about the course folder.
    """

    made_from: Mapping[str, str]
    before: set[str] = field(default_factory=set)
    origins: dict[str, Origin] = field(default_factory=dict)
    told: int = 0

    def add(self, path: str, sent: str, done: Completed | None = None) -> None:
        """Note a file; `done` where it is a page."""
        if sent not in self.made_from:
            self.origins[path] = Origin(sent, done.after if done else 0, done.added if done else 0)
        elif done is not None:
            lines = enumerate(done.text.split("\n"), start=1)
            headings = [(number, line.lstrip("#").strip()) for number, line in lines if line.startswith("#")]
            self.origins[path] = Origin(self.made_from[sent], headings=((0, done.title), *headings))
        else:
            self.origins[path] = Origin(f"{self.made_from[sent]} ({Path(sent).name})", headings=())

    def tell(self, report: Report) -> None:
        """Put findings into the words of what was sent. Of pages that were there before, only errors are of interest now."""
        told = [
            self.origins[row.file].told(row) if row.file in self.origins else row
            for row in report.rows[self.told :]
            if row.file in self.origins or row.file not in self.before or row.severity is Severity.ERROR
        ]
        report.rows[self.told :] = told


def lay_over(target: Target, sent: Path, name: str, folder: Path, made_from: Mapping[str, str], report: Report) -> Laid:
    """Write the target's course into `folder` and lay over it what is in `sent`. Raises Refused, with the reason in the report.

    Args:
        name: what the upload is called, for a module that names itself nowhere.
        made_from: pages made of documents, with the documents' names.
    """
    if (sent / "course.md").exists():
        mend = "Choose “A whole course” in the form, or send the module's folder alone."
        report.error("course_inside", "course.md", 0, "These files are a whole course, not a part of one.", mend)
        raise Refused
    units = _units(sent)
    if len(units) > 1 and target.module is not None:
        mend = "Choose “A new module” in the form, or send one module."
        report.error("modules_several", "", 0, f"These files are {len(units)} modules, and one was chosen for them.", mend)
        raise Refused
    over = _Over(target, sent, folder, report, made_from)
    for unit in units:
        over.lay(unit, unit.name if unit != sent else name)
    if units != [sent]:
        over.lay_beside(sent, "", [path for path in sent.rglob("*") if not any(unit in path.parents for unit in units)])
    over.laid.told = len(report.rows)
    return over.laid


def complete_made(folder: Path, needs: Need | None, made_from: Mapping[str, str], report: Report) -> Laid:
    """In a whole course, complete the pages that were made of documents; all others say for themselves what they are."""
    laid = Laid(made_from)
    taken = {key for page in _pages(folder.rglob("*.md")) if (key := key_in(_read(page)))} if made_from else set()
    for path in sorted(made_from, key=order_of):
        page = folder / path
        if page.suffix != ".md":
            laid.add(path, path)
            continue
        text = words_of_file(page.read_bytes(), made_from[path], report)
        if text is None:
            page.unlink()
            continue
        done = complete_lesson(text, path, Gaps(needs=needs, taken=frozenset(taken)), report, shown=made_from[path])
        taken.add(done.key)
        page.write_text(done.text, encoding="utf-8", newline="\n")
        laid.add(path, path, done)
    laid.told = len(report.rows)
    return laid


def _units(sent: Path) -> list[Path]:
    """The modules among what was sent: folders with a module.md of their own, or all of it as one."""
    if _pages(sent.glob("*.md")):
        return [sent]
    return sorted((page.parent for page in _pages(sent.glob("*/module.md"))), key=lambda path: order_of(path.name)) or [sent]


def _pages(found: Iterable[Path]) -> list[Path]:
    """The files among what ends like a page; a folder may be called so too."""
    return [path for path in found if path.is_file()]


class _Over:
    """Lays modules over a course that was written out."""

    def __init__(self, target: Target, sent: Path, folder: Path, report: Report, made_from: Mapping[str, str]) -> None:
        self.target, self.sent, self.folder, self.report = target, sent, folder, report
        parts = lay_out(target.course, folder)
        self.laid = Laid(made_from, {part.path for part in parts})
        self.lessons = {part.lesson: part for part in parts if part.lesson}
        self.modules = {part.module: part for part in parts if part.module and not part.lesson}
        self.former = {key: _fields(part.text) for key, part in self.lessons.items()}
        self.taken = {key for key, part in self.lessons.items() if part.module != target.module}

    def lay(self, unit: Path, name: str) -> None:
        """Lay one module, or what goes into one, over the course."""
        pages = sorted((page for page in _pages(unit.rglob("*.md")) if page.name != "module.md"), key=lambda path: order_of(path.name))
        if not pages and not (unit / "module.md").is_file():
            mend = "Send Markdown, Word or PowerPoint files, with the pictures they show."
            self.report.error("nothing_to_place", "", 0, "There is no lesson among these files.", mend)
            return
        done = [(page, lesson) for page in pages if (lesson := self._completed(page)) is not None]
        module = self._module(unit, name, [lesson.title for _page, lesson in done if lesson.title])
        if module is None:
            return
        dest = module.path.rpartition("/")[0]
        for page, lesson in done:
            number = self._number(lesson, module)
            named = page.relative_to(unit).with_name(f"{number:02}-{lesson.key or 'lesson'}.md")
            path = f"{dest}/{named.as_posix()}"
            self._write(path, lesson.text)
            self.laid.add(path, self._sent(page), lesson)
            self.lessons[lesson.key] = Part(path, lesson.text, module=module.module, lesson=lesson.key)
        beside = [path for path in unit.rglob("*") if path.suffix != ".md" or path.is_dir()]
        self.lay_beside(unit, dest, beside)

    def _completed(self, page: Path) -> Completed | None:
        """A page with nothing missing; None where it is no text."""
        path = self._sent(page)
        shown = self.laid.made_from.get(path, path)
        text = words_of_file(page.read_bytes(), shown, self.report)
        if text is None:
            return None
        gaps = Gaps(self.target.course.language, self.target.needs, frozenset(self.taken), self.former)
        done = complete_lesson(text, path, gaps, self.report, shown)
        self.taken.add(done.key)
        return done

    def _number(self, lesson: Completed, module: Part) -> int:
        """Where a lesson stands in its module: in the place of the one it replaces, or last."""
        former = self.lessons.get(lesson.key)
        if former is not None and former.path in self.laid.before:
            shown = f"The lesson “{lesson.key}”"
            if former.module == module.module:
                words, mend = f"{shown} was there; this upload takes its place.", "To keep both, give the file another id or another name."
            else:
                words, mend = f"{shown} was in another module; it moves into this one.", "To keep both, give this one another id."
            self.report.warn(
                "lesson_replaced", lesson.shown, 0, f"{words} A clinician's review of the old text does not count for the new.", mend
            )
            (self.folder / former.path).unlink(missing_ok=True)
            self.laid.before.discard(former.path)
            if former.module == module.module:
                return order_of(former.path)[0]
        return 1 + max((order_of(part.path)[0] for part in self.lessons.values() if part.module == module.module), default=0)

    def _module(self, unit: Path, name: str, titles: list[str]) -> Part | None:
        """The module that this goes into, with its page written; None, with the reason reported, where that cannot be."""
        page = unit / "module.md"
        sent = self._sent(page) if page.is_file() else ""
        text = (words_of_file(page.read_bytes(), sent, self.report) or "") if page.is_file() else ""
        if self.target.module is not None:
            return self._chosen(self.target.module, text, sent)
        done = complete_module(text, f"{name}/module.md", self.target.title if unit == self.sent else "", titles, self.report, sent)
        if done.key in self.modules:
            mend = "Choose it in the form to put lessons into it, or give the new one another key or title."
            self.report.error("module_twice", sent, 0, f"The course has a module “{done.key}” already.", mend)
            return None
        return self._new_module(done, sent)

    def _chosen(self, key: str, text: str, sent: str) -> Part | None:
        """The module that was chosen in the form; what a module.md beside the lessons says of it counts."""
        module = self.modules.get(key)
        own = str(_fields(text).get("key") or key)
        if module is None:
            self.report.error("module_gone", "", 0, "The module that was chosen is not there any more.", CHOOSE_AGAIN)
        elif own != key:
            mend = "Choose that module in the form, or correct the key."
            self.report.error("module_differs", sent, 0, f"The file is of the module “{own}”, the form says “{key}”.", mend)
            return None
        elif text:
            self._write(module.path, with_front({**_fields(module.text), **_fields(text)}, ""))
            self.laid.add(module.path, sent)
        return module

    def _new_module(self, done: Completed, sent: str) -> Part:
        """Write the page of a module that comes last."""
        numbers = [order_of(part.path.split("/")[0])[0] for part in self.modules.values()]
        is_numbered = all(number < 10**4 for number in numbers) and not any(
            _fields(part.text).get("order") for part in self.modules.values()
        )
        number = 1 + (max(numbers, default=0) if is_numbered else len(numbers))
        text = done.text
        if not is_numbered:  # it comes last, whatever the numbers of folders say
            for place, part in enumerate(self.modules.values(), start=1):
                self._write(part.path, with_front({**_fields(part.text), "order": place}, ""))
            text = text.replace("\n---\n", f"\norder: {number}\n---\n", 1)
        path = f"{number:02}-{done.key or 'module'}{'' if is_numbered else '-new'}/module.md"
        self._write(path, text)
        self.laid.add(path, sent, done)
        self.modules[done.key] = Part(path, text, module=done.key)
        return self.modules[done.key]

    def lay_beside(self, root: Path, dest: str, files: list[Path]) -> None:
        """Put files beside the pages; one that takes another's place is named."""
        for path in sorted(files):
            if not path.is_file():
                continue
            place = f"{dest}/{path.relative_to(root).as_posix()}".lstrip("/")
            target = self.folder / place
            if target.exists() and not _is_alike(path, target):
                mend = "Give it another name if they should keep showing the old one."
                words = "A file of this name was there; every lesson that shows it shows this one now."
                self.report.warn("file_replaced", self._sent(path), 0, words, mend)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            self.laid.add(place, self._sent(path))

    def _sent(self, path: Path) -> str:
        return path.relative_to(self.sent).as_posix()

    def _write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8", newline="\n")


def _fields(text: str) -> dict[Any, Any]:
    """The front matter of a page; empty where it cannot be read, which reading says."""
    found = FENCED.match(text)
    return (read_fields(found.group(1), "", Report()) or {}) if found else {}


def _read(page: Path) -> str:
    return words_of_file(page.read_bytes(), page.name, Report()) or ""


def _is_alike(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while piece := first.read(PIECE):
            if piece != second.read(PIECE):
                return False
    return True
