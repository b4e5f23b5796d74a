"""Browsers of late 2021 (Safari 15.1, Chrome 95, Firefox 94): what they do not know is not used, or what they do instead stands here.

Judged by the words of the source, not by running such a browser. What each knows is in MDN's tables of browser compatibility.
"""

import re
from pathlib import Path

import pytest

from tests.code.markup import line_of, templates, without_jinja
from tests.code.source import ROOT, assert_clean, expect

# What none of them, or not all, know.
STYLES = {
    "a selector": r":has\(|:popover-open|:modal\b|:user-(?:in)?valid|::highlight|::details-content",
    "a rule": r"@(?:layer|container|scope|property|starting-style|view-transition|position-try)\b",
    "a nested rule": r"(?:^|[\s;{}])&",
    "a range of widths": r"@media[^{]*[<>]",
    "a unit": r"\d(?:[dsl]v(?:[hwib]|min|max)|cq(?:[whib]|min|max)|r?lh)\b",
    "a function": r"\b(?:color-mix|light-dark|color|lab|lch|oklab|oklch|anchor|linear|round|sin|cos|pow|if)\(",
    "a property": r"(?<![\w-])(?:field-sizing|scrollbar-gutter|content-visibility|container(?:-\w+)?|translate|rotate|scale|anchor-name"
    r"|text-box|offset-path|animation-timeline|view-transition-name|interpolate-size|line-clamp|accent-color|appearance|text-wrap|text-size-adjust"
    r"|forced-color-adjust)\s*:",
    "a value": r":\s*[^;{}]*\b(?:subgrid|anywhere|revert-layer)\b|overflow(?:-[xy])?:\s*clip\b|content:\s*\"[^\"]*\"\s*/",
}
SCRIPTS = {
    "a method": r"\.(?:at|findLast|findLastIndex|toSorted|toReversed|toSpliced|groupBy|requestSubmit"
    r"|(?:show|hide|toggle)Popover|checkVisibility|setHTML|setHTMLUnsafe|moveBefore|union|intersection)\(",
    "a function": r"\b(?:structuredClone|randomUUID|startViewTransition|hasOwn|fromAsync|withResolvers|canParse)\b"
    r"|AbortSignal\.(?:timeout|any)\b",
    "a thing of the browser": r"\.submitter\b|\.showModal\b|\.inert\b|\bkeepalive\b|\bnavigator\.(?:locks|userActivation)\b|\bnavigation\."
    r"|\bscheduler\.|\b(?:Dec|C)ompressionStream\b|\bURLPattern\b",
    "syntax": r"\(\?<[=!]|\bstatic\s*\{|#\w+\s+in\s|\bimport\b[^;]*\bwith\s*\{",
}
PAGES = {
    "an attribute": r"<[^>]*\s(?:popover\w*|inert|blocking|closedby|command(?:for)?|fetchpriority)\b|<details[^>]*\sname\s*=",
    "an element": r"<(?:search|dialog|selectedcontent|fencedframe)\b|type\s*=\s*[\"'](?:importmap|speculationrules)",
}

# Where one is used all the same: what these browsers do instead.
INSTEAD = {
    ("courseapp.css", "oklch("): "the same colours stand before in hex; @supports alone lets these in",
    ("courseapp.css", "accent-color"): "boxes in the system's colour",
    ("courseapp.css", "appearance"): "Safari reads -webkit-appearance, which stands before it",
    ("courseapp.css", "text-wrap"): "lines of a heading are as long as they come",
    ("courseapp.css", "text-size-adjust"): "Safari on phones reads -webkit-text-size-adjust, which stands before it",
    ("courseapp.css", "forced-color-adjust"): "bars in the system's own colours",
    ("courseapp.css", 'content: "/" /'): "the same sign stands before, and may be read aloud",
    ("courseapp.css", "anywhere"): "words too long are broken by the page's overflow-wrap: break-word",
    ("editor.css", "anywhere"): "as in courseapp.css",
    ("courseapp.js", "keepalive"): "Firefox sends all the same while the page stays; a lost note of opening or of a click is no matter",
    ("courseapp.js", ".showModal"): "asked for before; the link leads to the page that asks the same",
    ("editor.js", "keepalive"): "Firefox may not send what was typed last; it waits on the device, and is taken up on return",
    ("editor.js", ".submitter"): "the button that was pressed last is remembered",
    ("editor.js", "navigator.locks"): "asked for before; a text may then be taken up by two tabs, and becomes two drafts",
    ("order.js", ".submitter"): "the buttons ask the server for the page with one thing moved",
    ("segments.js", ".inert"): "what is typed into a row in the moment in which rows are made anew is lost, and can be seen to be",
    ("segments.js", ".submitter"): "the buttons ask the server for the page as it is then",
    ("player.js", "keepalive"): "Firefox may forget the last ten seconds",
    ("lists.html", "<dialog"): "hidden by dialog:not([open]); the link leads to the page that asks the same",
}


def too_new(root: Path) -> list[str]:
    """What browsers of late 2021 do not know and no word is said about."""
    found = []
    for path in sorted((root / "courseapp" / "static").rglob("*.[cj]s*")):
        kinds = STYLES if path.suffix == ".css" else SCRIPTS
        comments = r"/\*.*?\*/" if path.suffix == ".css" else r"/\*.*?\*/|(?<!:)//[^\n]*"
        text = re.sub(comments, lambda hit: "\n" * hit[0].count("\n"), path.read_text(), flags=re.DOTALL)
        found += _found_in(path.name, f"courseapp/static/{path.relative_to(root / 'courseapp' / 'static')}", text, kinds)
    for name, text in templates(root, ".html"):
        found += _found_in(Path(name).name, name, without_jinja(text), PAGES)
    return found


def _found_in(file: str, name: str, text: str, kinds: dict[str, str]) -> list[str]:
    said = [words for known, words in INSTEAD if known == file]
    return [
        f"{name}:{line_of(text, hit.start())}: {what} that browsers of 2021 do not know: {hit[0].strip()[-40:]}"
        for what, pattern in kinds.items()
        for hit in re.finditer(pattern, text, re.MULTILINE)
        if not any(words in text[hit.start() : hit.end()] for words in said)
    ]


def colours_without_a_fallback(root: Path) -> list[str]:
    """Properties set to a colour that only newer browsers read, and to none that all do, or outside @supports."""
    found = []
    for path in sorted((root / "courseapp" / "static").rglob("*.css")):
        text = path.read_text()
        new = list(re.finditer(r"(--[\w-]+|[\w-]+):\s*oklch\(", text))
        guarded = [range(hit.start(), _end_of(text, hit.end())) for hit in re.finditer(r"@supports \(color: oklch\([^)]*\)\) \{", text)]
        for hit in new:
            line = f"{path.relative_to(root)}:{line_of(text, hit.start())}"
            if not any(hit.start() in stretch for stretch in guarded):
                found.append(f"{line}: oklch() outside @supports")
            elif hit[1] != "color" and not re.search(rf"{hit[1]}:\s*#", text):
                found.append(f"{line}: {hit[1]} has no hex beside its oklch()")
    return found


def _end_of(text: str, position: int) -> int:
    """Where the block ends that was opened before this position."""
    depth = 1
    while depth and position < len(text):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        position += 1
    return position


CHECKERS = (too_new, colours_without_a_fallback)


@pytest.mark.parametrize("checker", CHECKERS)
def test_browsers_of_five_years_ago_are_served(checker):
    assert_clean(checker)


def test_what_is_excused_is_there():
    paths = [
        path
        for folder in ("courseapp/static", "templates")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".css", ".js", ".html"}
    ]
    sources = {path.name: path.read_text() for path in paths}
    assert [words for (file, words) in INSTEAD if words not in sources[file]] == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("css/x.css", ".a:has(.b) { color: red }", "a selector"),
        ("css/x.css", "@layer base { a { color: red } }", "a rule"),
        ("css/x.css", "@container (min-width: 4em) { a { color: red } }", "a rule"),
        ("css/x.css", "a { & b { color: red } }", "a nested rule"),
        ("css/x.css", "@media (width >= 40em) { a { color: red } }", "a range of widths"),
        ("css/x.css", "a { height: 100dvh; }", "a unit"),
        ("css/x.css", "a { color: color-mix(in srgb, red 20%, blue); }", "a function"),
        ("css/x.css", ":root { --x: oklch(50% .1 195); }", "outside @supports"),
        ("css/courseapp.css", "@supports (color: oklch(50% .1 195)) { :root { --x: oklch(50% .1 195); } }", "no hex beside"),
        ("css/x.css", "textarea { field-sizing: content; }", "a property"),
        ("css/x.css", "a { overflow: clip; }", "a value"),
        ("css/courseapp.css", ":root { --x: #fff; } @supports (color: oklch(50% .1 195)) { :root { --x: oklch(50% .1 195); } }", None),
        ("css/x.css", "@media (min-width: 40em) { a { width: 10em; height: 100vh; transform: rotate(45deg); } } /* no :has( here */", None),
        ("js/x.js", "const last = rows.at(-1);", "a method"),
        ("js/x.js", "form.requestSubmit(button);", "a method"),
        ("js/x.js", "const copy = structuredClone(row);", "a function"),
        ("js/x.js", "const button = event.submitter;", "a thing of the browser"),
        ("js/x.js", "const found = /(?<=a)b/.exec(text);", "syntax"),
        ("js/x.js", "const last = rows[rows.length - 1]?.name ?? ''; // rows.at(-1) is too new", None),
        ("page.html", "<div popover>{{ x }}</div>", "an attribute"),
        ("page.html", "<search>{{ x }}</search>", "an element"),
        ("page.html", '<script type="importmap" src="x"></script>', "an element"),
        ("page.html", '<details><summary>{{ x }}</summary><p class="inert-name">{{ y }}</p></details>', None),
    ],
)
def test_a_planted_file_is_judged_rightly(tmp_path, name, text, words):
    file = tmp_path / ("templates" if name.endswith(".html") else "courseapp/static") / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    expect([finding for checker in CHECKERS for finding in checker(tmp_path)], words)
