"""Words, as an environment has them, made into what a class says that its settings are; and what is wrong with them.

The class says it by annotated defaults: `str`, `bool`, `Path` (or None), `Literal[…]`, `Annotated[int, Range(1, 64)]`, and
`Annotated[str, check]`, where `check` gives the words as they should be or raises ValueError in words.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints

YES, NO = frozenset({"1", "true", "yes", "on", "t", "y"}), frozenset({"0", "false", "no", "off", "f", "n"})


@dataclass(frozen=True)
class Range:
    """The whole numbers that a setting may have, both ends among them."""

    least: int
    most: int

    def __call__(self, number: int) -> int:
        """The number. Raises ValueError where it is not among them."""
        if not self.least <= number <= self.most:
            raise ValueError(f"{number} is not a number from {self.least} to {self.most}")
        return number


def types_of(kind: type) -> Mapping[str, Any]:
    """What each setting of a class is, by name: whatever it annotates."""
    return get_type_hints(kind, include_extras=True)


def defaults_of(kind: type) -> dict[str, Any]:
    """What each setting of a class is where nothing is said of it, by name."""
    return {name: getattr(kind, name) for name in types_of(kind)}


class WrongValues(ValueError):
    """Settings that cannot be what they are; `problems` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class TypedValues:
    """Settings of the class that annotates them."""

    def __init__(self, said: Mapping[str, object]) -> None:
        """Take what is said of them, by name, other things too: a text is read, what is none is taken as it is. Raises WrongValues."""
        wrong = []
        for name, hint in types_of(type(self)).items():
            word = said.get(name, getattr(self, name))
            try:
                setattr(self, name, _read(hint, word) if isinstance(word, str) else word)
            except ValueError as error:
                wrong.append(f"{name.upper()} is not what it should be: {error}.")
        if wrong:
            raise WrongValues(wrong)

    def changed(self, **changes: object) -> Self:
        """The same but for some."""
        other = copy.copy(self)
        vars(other).update(changes)
        return other


def _read(hint: Any, word: str) -> Any:
    if get_origin(hint) is Annotated:
        base, *checks = get_args(hint)
        value = _read(base, word)
        for check in checks:
            value = check(value)
        return value
    if get_origin(hint) is Literal:
        return _one_of(get_args(hint), word)
    if hint is bool:
        return _one_of((*YES, *NO), word.strip().lower(), "yes or no") in YES
    if hint is int:
        return _whole(word)
    return word if hint is str else Path(word)


def _one_of(words: tuple[str, ...], word: str, said: str = "") -> str:
    if word not in words:
        raise ValueError(f"{word!r} is not {said or 'one of ' + ', '.join(words)}")
    return word


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError as error:
        raise ValueError(f"{word!r} is not a whole number") from error
