"""A letter's Markdown → its two bodies, block by block. CommonMark without HTML and pictures, and a few blocks of letters' own.

    [Continue the course]({{ continue_url }})     alone in its paragraph: a button
    <lesson:introduction/breathing>               alone in its paragraph: a card; also <course:introduction>
    ---                                           a divider
    ::: note … :::                                a note
    ::: offer … :::                               an offer; only letters that may offer something have one

The HTML has classes, which the frame (`letter.html`) styles; boxes are tables, for Outlook knows neither padding nor borders
of anything else. What a reference such as `lesson:…` leads to was settled when the letter was published.

Where clicks are counted (`clicks.py`) links to pages of ours say in a fragment which link of which letter they are; in the HTML alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import count, takewhile
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.container import container_plugin

from courseapp.mailing.fields import OPEN
from courseapp.mailing.text import Target

BOXES = ("note", "offer")
REFERENCES = ("lesson", "course", "page", "tier")
CARDS = ("lesson", "course")
TABLE = 'role="presentation" cellpadding="0" cellspacing="0" border="0"'
END = "</td></tr></table></td></tr></table>\n"


@dataclass(frozen=True)
class Bodies:
    """A letter's text as HTML and as plain text; merge fields are marks in both."""

    html: str
    text: str


def bodies_of(marked: str, targets: Mapping[str, Target], site: str, letter: str = "") -> Bodies:
    """Both bodies of a marked text; `site` is what paths stand behind, such as `https://learn.example`.

    Args:
        letter: the id in addresses of the letter whose links are to say where they stand; empty where clicks are not counted.
    """
    tokens = pointed(reader().parse(marked), targets, site)
    text = _text_of(tokens, targets, site)
    for number, link, _words in counted_links(tokens, site) if letter else ():
        link.attrSet("href", f"{link.attrGet('href')}#from={letter}.{number}")
    return Bodies(_html_of(tokens, targets), text)


def counted_links(tokens: Sequence[Token], site: str) -> Iterator[tuple[int, Token, str]]:
    """The links whose clicks can be counted: the number of each, the link, its words. The tokens' references lead to addresses.

    Numbered are all links of a letter, from 1: so a number stays a link's own should the site move, or another rule say which count.
    """
    numbers = count(1)
    for token in tokens:
        children = token.children or []
        for place, child in enumerate(children):
            number = next(numbers) if child.type == "link_open" else 0
            if number and can_be_counted(str(child.attrGet("href")), site):
                inside = takewhile(lambda other: other.type != "link_close", children[place + 1 :])
                words = (" " if other.type in {"softbreak", "hardbreak"} else other.content for other in inside)
                yield number, child, "".join(words)


def can_be_counted(address: str, site: str) -> bool:
    """Whether a link leads to a page of ours, where a script can say that it was followed (a file runs none).

    One made of a merge field is each reader's own and may hold a token, and one with a fragment has a place of its own to lead to.
    """
    return OPEN not in address and "#" not in address and is_of(address, site) and "." not in urlsplit(address).path.rpartition("/")[2]


def is_of(address: str, site: str) -> bool:
    """Whether an address is one of a site's."""
    try:
        parts, own = urlsplit(address), urlsplit(site)
    except ValueError:
        return False
    return (parts.scheme, parts.netloc.lower()) == (own.scheme, own.netloc.lower())


@cache
def reader(strict: bool = True) -> MarkdownIt:
    """What reads letters. Addresses stay as they were written, for our marks stand in some; not `strict`: also the forbidden ones."""
    found = MarkdownIt("commonmark", {"html": False}).disable("image")
    found.normalizeLink = lambda url: url  # type: ignore[method-assign]  # as above
    if not strict:
        found.validateLink = lambda url: True  # type: ignore[method-assign]  # who looks for mistakes must see them
    for name in BOXES:
        container_plugin(found, name)
    return found


def kind_of(address: str) -> str:
    """Which kind of reference an address is: lesson, course, page, tier; empty for any other."""
    kind = address.partition(":")[0].lower()
    return kind if kind in REFERENCES else ""


def lone_link(inline: Token) -> Token | None:
    """The link that a paragraph holds and nothing else, or None."""
    children = inline.children or []
    is_one = bool(children) and children[0].type == "link_open" and children[-1].type == "link_close"
    return children[0] if is_one and sum(child.type == "link_open" for child in children) == 1 else None


def card_of(inline: Token) -> str:
    """The reference that a paragraph shows as a card: `<lesson:…>` and nothing else; empty for none."""
    link = lone_link(inline)
    is_bare = link is not None and link.markup == "autolink"
    reference = str((link.meta.get("reference") or link.attrGet("href")) if link is not None else "")
    return reference if is_bare and kind_of(reference) in CARDS else ""


def pointed(tokens: list[Token], targets: Mapping[str, Target], site: str) -> list[Token]:
    """The tokens with their references led to addresses, in place. An unknown one leads to the site itself."""
    for token in tokens:
        link: Token | None = None
        for child in token.children or []:
            if child.type == "link_open" and kind_of(str(child.attrGet("href"))):
                link, reference = child, str(child.attrGet("href"))
                found = targets.get(reference)
                child.meta["reference"] = reference
                child.attrSet("href", site + (found.path if found else "/"))
            elif child.type == "text" and link is not None and link.markup == "autolink":
                found = targets.get(link.meta["reference"])
                child.content = found.title if found else child.content
            elif child.type == "link_close":
                link = None
    return tokens


def _html_of(tokens: Sequence[Token], targets: Mapping[str, Target]) -> str:
    shown: list[Token] = []
    skips = 0
    for index, token in enumerate(tokens):
        if skips:
            skips -= 1
            continue
        inline = tokens[index + 1] if token.type == "paragraph_open" and not token.hidden else None
        if inline is not None and card_of(inline) in targets:
            shown.append(_html(_card(targets[card_of(inline)], lone_link(inline))))
            skips = 2
        elif inline is not None and lone_link(inline) is not None:
            shown += [_html(_box("button-gap", "button-cell", whole=False)), inline, _html(END)]
            skips = 2
        else:
            shown.append(_shown(token, inline))
    return str(reader().renderer.render(shown, reader().options, {}))


def _shown(token: Token, inline: Token | None) -> Token:
    """A token as mail programs need it: boxes, quotes and dividers as tables, a code alone in its paragraph large."""
    name = token.type.removeprefix("container_").removesuffix("_open").removesuffix("_close")
    if name in {*BOXES, "blockquote"}:
        return _html(_box("gap", f"box-cell {name}-cell") if token.type.endswith("_open") else END)
    if token.type == "hr":
        return _html(_box("gap", "rule-cell") + "&nbsp;" + END)
    if inline is not None and [child.type for child in inline.children or []] == ["code_inline"]:
        token.attrSet("class", "code")
    return token


def _box(gap: str, cell: str, whole: bool = True) -> str:
    """The beginning of a box, `whole` as wide as the column. The space around it is a cell's: Outlook drops margins of tables."""
    width = ' width="100%"' if whole else ""
    return f'<table {TABLE} width="100%"><tr><td class="{gap}"><table {TABLE}{width}><tr><td class="{cell}">'


def _card(target: Target, link: Token | None) -> str:
    words = f'<p class="card-words">{escape(target.words)}</p>' if target.words else ""
    address = str(link.attrGet("href")) if link is not None else ""
    title = f'<p class="card-title"><a href="{escape(address)}">{escape(target.title)}</a></p>'
    return _box("gap", "box-cell card-cell") + title + words + END


def _html(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


def _text_of(tokens: Sequence[Token], targets: Mapping[str, Target], site: str) -> str:
    """The body as plain text: paragraphs apart, lists with dashes or numbers, each address after its words."""
    lines: list[str] = []
    counts: list[int] = []  # of each list that is open: the number of the next item, 0 for one with dashes
    prefix = ""
    for token in tokens:
        if token.type in {"bullet_list_open", "ordered_list_open"}:
            counts.append(int(token.attrGet("start") or 1) if token.type == "ordered_list_open" else 0)
        elif token.type == "list_item_open":
            prefix = "  " * (len(counts) - 1) + (f"{counts[-1]}. " if counts[-1] else "- ")
            counts[-1] += bool(counts[-1])
        elif token.type == "inline":
            lines.append(prefix + _words_of(token, targets, site))
            prefix = ""
        elif token.type in {"fence", "code_block"}:
            lines += [token.content.rstrip("\n"), ""]
        elif token.type == "hr":
            lines += ["* * *", ""]
        elif token.type in {"bullet_list_close", "ordered_list_close"}:
            counts.pop()
            lines += [] if counts else [""]
        elif token.type in {"paragraph_close", "heading_close"} and not token.hidden:
            lines.append("")
    return "\n".join(lines).strip() + "\n"


def _words_of(inline: Token, targets: Mapping[str, Target], site: str) -> str:
    if (reference := card_of(inline)) in targets:
        target = targets[reference]
        return "\n".join(filter(None, (target.title, target.words, site + target.path)))
    parts, start, address = [], 0, ""
    for child in inline.children or []:
        if child.type in {"text", "code_inline"}:
            parts.append(child.content)
        elif child.type in {"softbreak", "hardbreak"}:
            parts.append("\n")
        elif child.type == "link_open":
            address, start = str(child.attrGet("href") or ""), len(parts)
        elif child.type == "link_close" and "".join(parts[start:]) != address:  # a bare address is its own words
            parts.append(f":\n{address}" if lone_link(inline) is not None else f" ({address})")
    return "".join(parts)
