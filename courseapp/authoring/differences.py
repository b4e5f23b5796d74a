"""Two texts side by side."""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """Lines that stand beside each other; `kind` is same, changed, removed or added."""

    kind: str
    old_line: int | None
    old: str
    new_line: int | None
    new: str


def side_by_side(old: str, new: str) -> list[Pair]:
    """Both texts in pairs of lines, in order."""
    before, after = old.split("\n"), new.split("\n")
    pairs = []
    for what, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        for offset in range(max(b - a, d - c)):
            has_old, has_new = a + offset < b, c + offset < d
            kind = "same" if what == "equal" else "changed" if has_old and has_new else "removed" if has_old else "added"
            pairs.append(
                Pair(
                    kind,
                    a + offset + 1 if has_old else None,
                    before[a + offset] if has_old else "",
                    c + offset + 1 if has_new else None,
                    after[c + offset] if has_new else "",
                )
            )
    return pairs
