"""The catalogues of words in other languages: `make translations` brings each in line with what the source says now.

What is gathered stands in pyproject.toml. Beside each catalogue (`.po`, which people write) lies what the application reads
(`.mo`); both are kept in git, so nothing has to be compiled where it is installed.

    make translations              every catalogue there is
    make translations ARGS=pt_BR   and one for another language, to be filled in
"""

import sys
import tomllib
from io import BytesIO
from pathlib import Path
from typing import Any

from babel import Locale
from babel.messages import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "courseapp" / "translations"
KEYWORDS: dict[str, Any] = DEFAULT_KEYWORDS | {"_l": None, "lazy_gettext": None, "lazy_ngettext": (1, 2)}


def catalogues() -> list[Path]:
    """The file of every language there is."""
    return sorted(FOLDER.glob("*/LC_MESSAGES/messages.po"))


def said_now() -> Catalog:
    """All that learners and readers of mail may be told, as the source says it."""
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    methods = [(pattern, mapping["method"]) for mapping in mappings for pattern in mapping["pattern"]]
    options = {pattern: {"silent": mapping.get("silent", "true")} for mapping in mappings for pattern in mapping["pattern"]}
    said = Catalog()
    for file, _line, words, _comments, context in extract_from_dir(ROOT, methods, options, KEYWORDS, directory_filter=_is_looked_through):
        said.add(words, locations=[(file, 0)], context=context)
    return said


def _is_looked_through(folder: str) -> bool:
    """Whether a folder may hold what is gathered: all others would be walked for nothing."""
    return Path(folder).relative_to(ROOT).parts[0] in {"courseapp", "templates"}


def in_line(file: Path, said: Catalog) -> Catalog:
    """A catalogue with what is said now: what is new stands there empty, what is gone is gone."""
    with file.open("rb") as written:
        catalogue = read_po(written, locale=file.parent.parent.name)
    catalogue.update(said, no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    return catalogue


def as_po(catalogue: Catalog) -> bytes:
    """What people write: sorted, a message a line and no line numbers, so that only what was reworded differs."""
    written = BytesIO()
    write_po(written, catalogue, width=0, sort_output=True, include_lineno=False)
    return written.getvalue()


def as_mo(catalogue: Catalog) -> bytes:
    """What the application reads."""
    written = BytesIO()
    write_mo(written, catalogue)
    return written.getvalue()


def begin(language: str) -> None:
    """Lay an empty catalogue down for a language that has none."""
    file = FOLDER / language / "LC_MESSAGES" / "messages.po"
    if not file.exists():
        file.parent.mkdir(parents=True)
        comment = f"# The words of courseapp in {Locale.parse(language).get_display_name('en')}."
        file.write_bytes(as_po(Catalog(locale=language, project="courseapp", version="1", header_comment=comment, fuzzy=False)))


def main(languages: list[str]) -> None:
    """Write every catalogue anew, and say what is missing in it."""
    for language in languages:
        begin(language)
    said = said_now()
    for file in catalogues():
        catalogue = in_line(file, said)
        file.write_bytes(as_po(catalogue))
        file.with_suffix(".mo").write_bytes(as_mo(catalogue))
        missing = sum(1 for message in catalogue if message.id and not all(message.string if message.pluralizable else [message.string]))
        print(f"{file.relative_to(ROOT)}: {len(catalogue)} messages, {missing} of them empty")


if __name__ == "__main__":
    main(sys.argv[1:])
