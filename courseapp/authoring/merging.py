"""Two people's changes to one text put together, where they touch different lines."""

import difflib

Change = tuple[int, int, list[str]]


def merged_fields(base: dict[str, str], one: dict[str, str], other: dict[str, str]) -> dict[str, str] | None:
    """A form's fields, `body` among them, put together; where both changed another field, `other` counts. None as for `merged`."""
    body = merged(base["body"], one["body"], other["body"])
    if body is None:
        return None
    return {name: one[name] if text == base[name] else text for name, text in other.items()} | {"body": body}


def merged(base: str, one: str, other: str) -> str | None:
    """Both texts' changes to `base`; None where they changed the same lines, or lines that touch, in different ways."""
    lines = base.split("\n")
    changes = sorted([*_changes(lines, one.split("\n")), *_changes(lines, other.split("\n"))], key=lambda change: change[:2])
    kept: list[Change] = []
    for change in changes:
        if kept and change == kept[-1]:
            continue  # both did the same
        if kept and change[0] <= kept[-1][1]:
            return None
        kept.append(change)
    for begin, end, new in reversed(kept):
        lines[begin:end] = new
    return "\n".join(lines)


def _changes(base: list[str], text: list[str]) -> list[Change]:
    codes = difflib.SequenceMatcher(None, base, text, autojunk=False).get_opcodes()
    return [(a, b, text[c:d]) for what, a, b, c, d in codes if what != "equal"]
