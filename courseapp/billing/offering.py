"""Tiers in a file: those that are not there yet are made of it, and what is there is left as its owner has it.

The format stands in docs/operations.md, "Paid tiers".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import sqlalchemy as sa
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from courseapp.billing.amounts import minor_of
from courseapp.billing.models import Interval, Plan, Tier
from courseapp.billing.plans import LONGEST_TRIAL, make_plan, set_price
from courseapp.billing.tiers import LONGEST_KEY, TierFacts, make_tier
from courseapp.catalog.models import Course
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.setting_words import checked_currencies

Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=LONGEST_KEY)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PlanRead(_Read):
    """A plan as the file has it; amounts are text, such as "9.00", for 9.00 alone is a number that computers round."""

    key: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=56)]
    interval: Literal["once", "month", "year"]
    trial_days: Annotated[int, Field(ge=0, le=LONGEST_TRIAL)] = 0
    prices: dict[str, str | int]


class TierRead(_Read):
    """A tier as the file has it; `opens` are slugs of courses."""

    key: Key
    name: Words
    neutral_name: Words
    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
    features: list[Words] = []
    opens: list[str]
    plans: list[PlanRead] = []


class FileRead(_Read):
    """The whole file."""

    tiers: list[TierRead]


@dataclass(frozen=True)
class Offered:
    """What came of a file: keys of tiers that were made, and of those that were there."""

    made: list[str]
    kept: list[str]


def offer(path: Path, now: datetime, by: int | None = None) -> Offered:
    """Make the tiers of a file that are not there yet. Raises ValueError that names the place in it and what is wrong."""
    read = read_tiers(path)
    there = set(db.session.scalars(sa.select(Tier.key)))
    new = [tier for tier in read if tier.key not in there]
    for tier in new:
        _make(tier, path.name, now, by)
    return Offered([tier.key for tier in new], [tier.key for tier in read if tier.key in there])


def read_tiers(path: Path) -> list[TierRead]:
    """The tiers of a file. Raises ValueError in words."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return FileRead.model_validate(content).tiers
    except ValidationError as error:
        raise ValueError("\n".join(f"{path.name}: {_place(found['loc'])}: {found['msg']}" for found in error.errors())) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path.name} cannot be read as YAML: {error}") from error


def _place(steps: tuple[int | str, ...]) -> str:
    return ".".join(str(step + 1) if isinstance(step, int) else step for step in steps) or "the whole file"


def _make(read: TierRead, file: str, now: datetime, by: int | None) -> None:
    courses = dict(db.session.execute(sa.select(Course.slug, Course.id).where(Course.slug.in_(read.opens))).all())
    if missing := [slug for slug in read.opens if slug not in courses]:
        raise ValueError(f"{file}: {read.key}: there is no course “{missing[0]}”. Bring it in first: flask --app courseapp course import")
    keys = [plan.key for plan in read.plans]
    if taken := db.session.scalars(sa.select(Plan.key).where(Plan.key.in_(keys))).first() or next(filter(_is_double(keys), keys), None):
        raise ValueError(f"{file}: {read.key}: another plan has the key “{taken}”. Choose another")
    position = 1 + (db.session.scalar(sa.select(sa.func.max(Tier.position))) or 0)
    facts = TierFacts(read.name, read.neutral_name, read.summary, tuple(read.features), frozenset(courses.values()), position=position)
    tier = make_tier(facts, now, by, key=read.key)
    for part in read.plans:
        try:
            plan = make_plan(tier, Interval(part.interval), now, by, trial_days=part.trial_days, key=part.key)
            for currency, amount in _amounts(part.prices).items():
                set_price(plan, currency, amount, now, by)
        except (Refusal, ValueError) as error:
            raise ValueError(f"{file}: {part.key}: {error.words if isinstance(error, Refusal) else error}") from error


def _is_double(keys: list[str]) -> Any:
    return lambda key: keys.count(key) > 1


def _amounts(prices: Mapping[str, str | int]) -> dict[str, int]:
    return {checked_currencies(currency): minor_of(str(amount), currency.strip().lower()) for currency, amount in prices.items()}
