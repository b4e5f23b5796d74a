"""What differs between two texts: their paragraphs side by side, and in a changed paragraph the words. Bounded in time and length."""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypedDict

Piece = tuple[Literal["same", "removed", "added"], str]
"""Words, and whether both texts have them or one alone."""
Kind = Literal["same", "changed", "removed", "added", "skipped", "cut"]


class Pair(TypedDict):
    """A paragraph of the old text beside the one of the new that stands for it; JSON-ready.

    `old` or `new` is empty where the other text alone has the paragraph. `count` is how many paragraphs a pair of the kind
    `skipped` (the same, and far from any change) or `cut` (beyond `MOST_PAIRS`) stands for.
    """

    kind: Kind
    old: list[Piece]
    new: list[Piece]
    count: int


MOST_STEPS = 3_000_000  # of comparing, about a second; beyond it a stretch is shown as taken out and put in
MOST_PAIRS = 600  # shown at most
AROUND = 1  # paragraphs shown on either side of a change
ALIKE = 0.3  # how much of their words two paragraphs must share to be one that was changed
PARAGRAPH = re.compile(r"\s*(?:[-*+#>|]|\d+[.)]|:::|\[\^|[a-z_]+:\s)")  # a line that begins something of its own
WORD = re.compile(r"\s+|\w+|[^\w\s]")


class Stretch(NamedTuple):
    """Where two sequences are the same (`is_same`) or not: `first[a:b]` against `second[c:d]`."""

    is_same: bool
    a: int
    b: int
    c: int
    d: int


def side_by_side(old: str, new: str) -> list[Pair]:
    """The paragraphs of two Markdown texts side by side; empty where no word differs. Spaces and line breaks do not count."""
    before, after = paragraphs_of(old), paragraphs_of(new)
    pairs: list[Pair] = []
    for stretch in _stretches([_plain(text) for text in before], [_plain(text) for text in after]):
        if stretch.is_same:
            pairs += [_pair("same", [("same", text)], [("same", text)]) for text in after[stretch.c : stretch.d]]
        else:
            pairs += _beside(before[stretch.a : stretch.b], after[stretch.c : stretch.d])
    return _shortened(pairs)


def paragraphs_of(text: str) -> list[str]:
    """A Markdown text in pieces worth comparing: paragraphs, headings, single entries of lists and rows of tables."""
    found: list[list[str]] = []
    is_open = False
    for line in text.splitlines():
        if not line.strip():
            is_open = False
        elif is_open and not PARAGRAPH.match(line):
            found[-1].append(line)
        else:
            found.append([line])
            is_open = True
    return ["\n".join(lines) for lines in found]


def _plain(text: str) -> str:
    return " ".join(text.split())


def _pair(kind: Kind, old: list[Piece], new: list[Piece], count: int = 1) -> Pair:
    return {"kind": kind, "old": old, "new": new, "count": count}


def _stretches(first: Sequence[str], second: Sequence[str]) -> list[Stretch]:
    """Where two sequences are the same and where not, in order; too long a comparison is not made."""
    head = _common(first, second)
    tail = _common(first[head:][::-1], second[head:][::-1])
    a, c = len(first) - tail, len(second) - tail
    found = [Stretch(True, 0, head, 0, head)]
    if _steps(first[head:a], second[head:c]) > MOST_STEPS:
        found.append(Stretch(False, head, a, head, c))
    else:
        matcher = difflib.SequenceMatcher(None, first[head:a], second[head:c], autojunk=False)
        found += [Stretch(tag == "equal", head + i, head + j, head + k, head + m) for tag, i, j, k, m in matcher.get_opcodes()]
    found.append(Stretch(True, a, len(first), c, len(second)))
    return [stretch for stretch in found if stretch.a < stretch.b or stretch.c < stretch.d]


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many items two sequences begin with together."""
    differing = (index for index, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return next(differing, min(len(first), len(second)))


def _steps(first: Sequence[str], second: Sequence[str]) -> int:
    """What comparing takes at worst: difflib looks, once for each stretch it finds, at every place where an item stands again."""
    other = Counter(second)
    again = len(first) + sum(count * other[item] for item, count in Counter(first).items())
    return again * min(len(first), len(second))


def _beside(old: list[str], new: list[str]) -> list[Pair]:
    """Paragraphs that differ, each beside the one it most likely became."""
    pairs: list[Pair] = []
    i = j = 0
    for k, m in [*_likely(old, new), (len(old), len(new))]:
        pairs += [_pair("removed", [("removed", text)], []) for text in old[i:k]]
        pairs += [_pair("added", [], [("added", text)]) for text in new[j:m]]
        if k < len(old):
            pairs.append(_in_words(old[k], new[m]))
        i, j = k + 1, m + 1
    return pairs


def _likely(old: list[str], new: list[str]) -> list[tuple[int, int]]:
    """Which old paragraph became which new one, in order: the pairing whose pairs share most."""
    if len(old) * len(new) * max(map(len, [*old, *new]), default=0) > 4 * MOST_STEPS:
        return []
    words = [Counter(WORD.findall(text)) for text in old], [Counter(WORD.findall(text)) for text in new]
    likeness = [[_likeness(one, other) for other in words[1]] for one in words[0]]
    best = [[0.0] * (len(new) + 1) for _row in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + likeness[i][j])
    found, i, j = [], 0, 0
    while i < len(old) and j < len(new):
        if likeness[i][j] and best[i][j] == best[i + 1][j + 1] + likeness[i][j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _likeness(one: Counter[str], other: Counter[str]) -> float:
    """How much of their words two paragraphs share, from 0 to 1; 0 where it is too little to call them the same one."""
    shared = 2 * sum(min(count, other[word]) for word, count in one.items() if not word.isspace())
    total = sum(count for words in (one, other) for word, count in words.items() if not word.isspace())
    return shared / total if total and shared / total >= ALIKE else 0.0


def _in_words(old: str, new: str) -> Pair:
    """One paragraph in two versions, with the words that differ marked."""
    first, second = WORD.findall(old), WORD.findall(new)
    left: list[Piece] = []
    right: list[Piece] = []
    for stretch in _joined(_stretches(first, second), first):
        before, after = "".join(first[stretch.a : stretch.b]), "".join(second[stretch.c : stretch.d])
        if before:
            left.append(("same" if stretch.is_same else "removed", before))
        if after:
            right.append(("same" if stretch.is_same else "added", after))
    return _pair("changed", left, right)


def _joined(stretches: list[Stretch], words: list[str]) -> list[Stretch]:
    """The stretches, with two changes that only a space parts made one: three marks in a row say less than one."""
    found: list[Stretch] = []
    for index, stretch in enumerate(stretches):
        is_space = stretch.is_same and 0 < index < len(stretches) - 1 and not "".join(words[stretch.a : stretch.b]).strip()
        if found and not found[-1].is_same and (is_space or not stretch.is_same):
            found[-1] = Stretch(False, found[-1].a, stretch.b, found[-1].c, stretch.d)
        else:
            found.append(stretch)
    return found


def _shortened(pairs: list[Pair]) -> list[Pair]:
    """The pairs near a change; what lies between is counted. Empty where nothing changed."""
    changes = [index for index, pair in enumerate(pairs) if pair["kind"] != "same"]
    near = {index + step for index in changes for step in range(-AROUND, AROUND + 1)}
    found: list[Pair] = []
    for index, pair in enumerate(pairs):
        kind: Kind = "skipped" if len(found) < MOST_PAIRS else "cut"
        if index in near and kind == "skipped":
            found.append(pair)
        elif found and found[-1]["kind"] in {kind, "cut"}:
            found[-1]["count"] += 1
        elif changes:
            found.append(_pair(kind, [], []))
    return found
