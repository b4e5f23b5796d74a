"""What differs between two texts, side by side: paragraphs find their partners, words are marked, and nothing takes for ever."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courseapp.authoring.differences import MOST_PAIRS, Pair, paragraphs_of, side_by_side

OLD = "## Sitting\n\nSit upright.\nBreathe in slowly.\n\n- one\n- two\n\nThe end."


def marked(words: list[tuple[str, str]]) -> str:
    """Words with what one text alone has in brackets."""
    return "".join(text if kind == "same" else f"[{text}]" for kind, text in words)


def shown(old: str, new: str) -> list[tuple[str, str, str]]:
    """Each pair, readable."""
    return [(pair["kind"], marked(pair["old"]), marked(pair["new"])) for pair in side_by_side(old, new)]


def test_the_same_words_differ_in_nothing() -> None:
    assert side_by_side(OLD, OLD) == []
    assert side_by_side(OLD, OLD.replace("upright.\nBreathe", "upright. Breathe") + "\n\n\n") == []


def test_one_word_is_marked_on_either_side() -> None:
    pairs = shown(OLD, OLD.replace("slowly", "gently"))
    assert pairs[1] == ("changed", "Sit upright.\nBreathe in [slowly].", "Sit upright.\nBreathe in [gently].")
    assert [pair[0] for pair in pairs] == ["same", "changed", "same", "skipped"]


def test_neighbouring_words_are_one_mark() -> None:
    assert shown("Press with your whole hand now.", "Press with two soft fingers now.") == [
        ("changed", "Press with [your whole hand] now.", "Press with [two soft fingers] now.")
    ]


def test_a_changed_paragraph_finds_its_partner_beside_a_new_one() -> None:
    new = OLD.replace("Sit upright.", "Something quite different stands here.\n\nSit upright, please.")
    assert [(kind, right) for kind, _left, right in shown(OLD, new)][:3] == [
        ("same", "## Sitting"),
        ("added", "[Something quite different stands here.]"),
        ("changed", "Sit upright[, please].\nBreathe in slowly."),
    ]


def test_another_paragraph_altogether_is_taken_out_and_put_in() -> None:
    assert shown("All of this.", "Nothing here.") == [("removed", "[All of this.]", ""), ("added", "", "[Nothing here.]")]


def test_entries_of_a_list_are_compared_one_by_one() -> None:
    assert paragraphs_of(OLD) == ["## Sitting", "Sit upright.\nBreathe in slowly.", "- one", "- two", "The end."]
    assert ("removed", "[- two]", "") in shown(OLD, OLD.replace("- two\n", ""))


def test_what_is_far_from_a_change_is_counted() -> None:
    many = "\n\n".join(f"Paragraph {number}." for number in range(50))
    pairs = side_by_side(many, many.replace("Paragraph 25.", "Another 25."))
    assert [(pair["kind"], pair["count"]) for pair in pairs] == [("skipped", 24), ("same", 1), ("changed", 1), ("same", 1), ("skipped", 23)]


@given(st.text("ab \n-", max_size=60), st.text("ab \n-", max_size=60))
def test_both_texts_can_be_read_off_the_pairs(old: str, new: str) -> None:
    pairs = side_by_side(old, new)
    for side, text in (("old", old), ("new", new)):
        whole = _read(pairs, side)
        if not any(pair["kind"] == "skipped" for pair in pairs) and pairs:
            assert whole == "".join(text.split())
        assert _in_order(whole, "".join(text.split()))


def _read(pairs: list[Pair], side: str) -> str:
    return "".join("".join(text.split()) for pair in pairs for _kind, text in pair[side])  # type: ignore[literal-required]  # old or new


def _in_order(part: str, whole: str) -> bool:
    letters = iter(whole)
    return all(letter in letters for letter in part)


def _mass(kind: str) -> tuple[str, str]:
    choose = random.Random(7)
    words = [f"w{number}" for number in range(2000)]
    if kind == "all other words":
        old, new = ("\n\n".join(" ".join(choose.choices(words, k=30)) for _row in range(4000)) for _text in "ab")
        return old, new
    if kind == "one paragraph":
        old, new = (" ".join(choose.choices(words, k=150_000)) for _text in "ab")
        return old, new
    if kind == "the same line for ever":
        return "- a\n" * 100_000, "- a\n- b\n" * 50_000
    if kind == "backwards":
        rows = [" ".join(choose.choices(words, k=30)) for _row in range(1700)]
        return "\n\n".join(rows), "\n\n".join(reversed(rows))
    letters = ["\n\n".join(f"{' '.join(choose.choices('ab', k=70))}\n\nu{row}" for row in range(1500)) for _text in "ab"]
    return letters[0], letters[1]


@pytest.mark.parametrize("kind", ["all other words", "one paragraph", "the same line for ever", "backwards", "two letters"])
def test_the_longest_lesson_is_compared_in_bounded_time_and_space(kind: str) -> None:
    old, new = _mass(kind)
    begun = time.process_time()
    pairs = side_by_side(old, new)
    assert time.process_time() - begun < 10  # a second or two; difflib alone would take hours
    assert 0 < len(pairs) <= MOST_PAIRS + 1
