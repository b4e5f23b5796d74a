"""The owner's colours: how well they can be read, and the style sheet made of them.

Contrast is WCAG 2.2's: relative luminance of sRGB (https://www.w3.org/TR/WCAG22/#dfn-relative-luminance), then
(lighter + 0.05) / (darker + 0.05), from 1 to 21. Text needs 4.5.
"""

import re
from dataclasses import dataclass

from flask_babel import gettext as _

LEAST = 4.5
TINT, DEEP = 0.12, 0.25  # how much accent is in its tint, and how far its deep shade goes towards black or white
COLOUR = re.compile(r"#[0-9a-f]{6}\Z")


@dataclass(frozen=True)
class Ground:
    """One of the two looks of a page: its backgrounds, the words on a button, and the standard accent with its shades."""

    backgrounds: tuple[str, str, str]
    on_accent: str
    end: str
    standard: tuple[str, str, str]


# As static/css/courseapp.css has them; a test compares.
LIGHT = Ground(("#fbf8f2", "#fffdfa", "#f3f0e8"), "#fffdfa", "#000000", ("#005e5e", "#004848", "#d9f1f0"))
DARK = Ground(("#12161b", "#1a1e24", "#0c1014"), "#10171f", "#ffffff", ("#76c8c7", "#97dddc", "#143131"))


def clean_colour(typed: str) -> str | None:
    """A colour as `#rrggbb`; None for what is none."""
    colour = typed.strip().lower()
    colour = colour if colour.startswith("#") else f"#{colour}"
    if len(colour) == 4:
        colour = "#" + "".join(letter * 2 for letter in colour[1:])
    return colour if COLOUR.match(colour) else None


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def why_unreadable(accent: str, ground: Ground) -> str | None:
    """Why an accent cannot be read on a look, in words; None where it can: as a link, as a button, and on its own tint."""
    pairs = [(accent, background) for background in ground.backgrounds]
    _accent, deep, tint = shades(accent, ground)
    least = min(contrast(*pair) for pair in (*pairs, (accent, ground.on_accent), (deep, tint)))
    if least >= LEAST:
        return None
    found = f"{int(least * 10) / 10:.1f}"  # never rounded up to what would do
    if ground is LIGHT:
        return str(_("Too pale: its contrast on the light page is %(found)s, and 4.5 is needed. Choose a darker colour.", found=found))
    return str(_("Too dark: its contrast on the dark page is %(found)s, and 4.5 is needed. Choose a lighter colour.", found=found))


def shades(accent: str, ground: Ground) -> tuple[str, str, str]:
    """An accent, its deep shade (under the pointer) and its tint (behind words)."""
    return accent, _mixed(accent, ground.end, DEEP), _mixed(ground.backgrounds[0], accent, TINT)


def style_sheet(light: str | None, dark: str | None) -> str:
    """The style sheet that sets the accent on screens; a look without a colour of its own keeps the standard one."""
    both = [shades(accent, ground) if accent else ground.standard for accent, ground in ((light, LIGHT), (dark, DARK))]
    rules = [f":root {{ --accent: {accent}; --accent-deep: {deep}; --accent-tint: {tint}; }}" for accent, deep, tint in both]
    return f"@media screen {{ {rules[0]} }}\n@media screen and (prefers-color-scheme: dark) {{ {rules[1]} }}\n"


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _parts(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def _mixed(colour: str, other: str, share: float) -> str:
    """`colour` with so much of `other` in it."""
    parts = zip(_parts(colour), _parts(other), strict=True)
    return "#" + "".join(f"{round(own * (1 - share) + more * share):02x}" for own, more in parts)
