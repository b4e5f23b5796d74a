"""Contrast by WCAG's own arithmetic, and colours that could not be read refused in words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courseapp.organisation.contrast import DARK, LEAST, LIGHT, clean_colour, contrast, shades, style_sheet, why_unreadable
from tests.code.source import ROOT

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")
SHEET = (ROOT / "courseapp" / "static" / "css" / "courseapp.css").read_text()


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#777777", "#ffffff", 4.48),  # the well-known grey that just fails
        ("#767676", "#ffffff", 4.54),  # and the one that just does
        ("#ff0000", "#ffffff", 4.00),
        ("#0000ff", "#ffffff", 8.59),
        ("#00ff00", "#000000", 15.30),
    ],
)
def test_known_pairs(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert contrast(other, one) == contrast(one, other)


@given(COLOURS, COLOURS)
def test_it_lies_between_one_and_twenty_one(one: str, other: str) -> None:
    assert 1 <= contrast(one, other) <= 21.000001


@given(COLOURS)
def test_no_colour_does_for_both_looks(colour: str) -> None:
    assert why_unreadable(colour, LIGHT) or why_unreadable(colour, DARK)


@given(COLOURS, st.sampled_from([LIGHT, DARK]))
def test_whatever_is_let_pass_is_readable_everywhere_it_stands(colour: str, ground) -> None:
    if why_unreadable(colour, ground) is None:
        _accent, deep, tint = shades(colour, ground)
        assert min(contrast(colour, background) for background in ground.backgrounds) >= LEAST
        assert contrast(colour, ground.on_accent) >= LEAST
        assert contrast(deep, tint) >= LEAST
        assert contrast(deep, ground.on_accent) >= LEAST


@pytest.mark.one_database
def test_the_refusal_says_which_way_to_go(app) -> None:
    assert "3.5" in why_unreadable("#ff0000", LIGHT)  # 3.51 on the darkest of the light grounds
    assert "darker" in why_unreadable("#ffd54a", LIGHT)
    assert "lighter" in why_unreadable("#202060", DARK)


@pytest.mark.parametrize(
    ("typed", "colour"),
    [
        ("#005e5e", "#005e5e"),
        (" 7A1F5C ", "#7a1f5c"),
        ("#abc", "#aabbcc"),
        ("red", None),
        ("#12345", None),
        ("#005e5e}body{display:none", None),
        ("#005e5e\n", "#005e5e"),
        ("", None),
    ],
)
def test_what_is_a_colour(typed: str, colour: str | None) -> None:
    assert clean_colour(typed) == colour


@pytest.mark.parametrize(("ground", "at"), [(LIGHT, 0), (DARK, 1)])
def test_the_grounds_are_those_of_the_style_sheet(ground, at: int) -> None:
    """Hex tokens stand first for each look; what is compared against must be what pages have."""

    def token(name: str) -> str:
        return re.findall(rf"--{name}: (#[0-9a-f]{{6}});", SHEET)[at]

    assert ground.backgrounds == (token("paper"), token("raised"), token("sunk"))
    assert ground.on_accent == token("on-accent")
    assert ground.standard == (token("accent"), token("accent-deep"), token("accent-tint"))


@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_our_own_accent_would_pass(ground) -> None:
    assert why_unreadable(ground.standard[0], ground) is None


def test_a_look_without_a_colour_of_its_own_keeps_ours() -> None:
    light, dark = style_sheet("#7a1f5c", None).strip().splitlines()
    assert "--accent: #7a1f5c;" in light
    assert light.startswith("@media screen {")
    assert "--accent: #76c8c7;" in dark
    assert "prefers-color-scheme: dark" in dark
