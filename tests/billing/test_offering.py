"""Tiers in a file."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.billing import offering, plans, tiers
from courseapp.billing.models import Price, Tier
from courseapp.extensions import db
from tests.conftest import NOW
from tests.factories import make_course, make_plan

FILE = Path(__file__).parents[2] / "content" / "tiers.yaml"
PLAN = "{key: p, interval: month, prices: {eur: '9.00'}}"


def write(folder: Path, tier: str = "", plan: str = PLAN) -> Path:
    path = folder / "tiers.yaml"
    path.write_text(tier or f"tiers: [{{key: t, name: T, neutral_name: N, summary: S, opens: [a], plans: [{plan}]}}]")
    return path


def test_our_examples_are_made_once_and_what_the_owner_changed_stays(app: Flask) -> None:
    for slug in ("guided-practice", "rest-and-recovery"):
        make_course(slug=slug)
    assert offering.offer(FILE, NOW).made == ["guided-practice", "rest-and-recovery"]
    found = tiers.tiers_with_plans()
    assert [[(row.plan.key, row.plan.interval.value, row.prices["eur"].amount) for row in tier.plans] for tier in found] == [
        [("guided-practice-month", "month", 900), ("guided-practice-year", "year", 9000)],
        [("rest-and-recovery", "once", 2900)],
    ]
    assert [[course.slug for course in tier.courses] for tier in found] == [["guided-practice"], ["rest-and-recovery"]]
    plans.set_price(found[0].plans[0].plan, "eur", 1000, NOW, None)
    assert offering.offer(FILE, NOW) == offering.Offered([], ["guided-practice", "rest-and-recovery"])
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Price)) == 4


@pytest.mark.parametrize(
    ("tier", "plan", "words"),
    [
        ("tiers: [", PLAN, "cannot be read as YAML"),
        ("{}", PLAN, "tiers: Field required"),
        ("tiers: [{key: A b}]", PLAN, "tiers.1.key"),
        ("", "{key: p, interval: week, prices: {}}", "tiers.1.plans.1.interval"),
        ("", "{key: p, interval: month, prices: {eur: 9.5}}", "tiers.1.plans.1.prices.eur"),
        ("", "{key: p, interval: month, prices: {eur: much}}", "p: “much” is no amount"),
        ("", "{key: p, interval: month, prices: {xyz: '9'}}", "'xyz' is no currency"),
        ("", "{key: p, interval: month, prices: {eur: '0'}}", "again and again"),
        ("", "{key: p, interval: once, trial_days: 3, prices: {}}", "again and again"),
        ("", "{key: taken, interval: once, prices: {}}", "“taken”"),
        ("", f"{PLAN}, {PLAN}", "“p”"),
        ("tiers: [{key: t, name: T, neutral_name: N, summary: S, opens: [b]}]", PLAN, "no course “b”"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_and_nothing_is_made(app: Flask, tmp_path: Path, tier: str, plan: str, words: str) -> None:
    make_course(slug="a")
    make_plan(key="taken")
    db.session.commit()
    answer = app.test_cli_runner().invoke(args=["billing", "offer", str(write(tmp_path, tier, plan))])
    assert answer.exit_code == 1
    assert words in answer.output
    assert db.session.scalars(sa.select(Tier.key).where(Tier.key == "t")).first() is None


def test_the_command_tells_what_it_made(app: Flask, tmp_path: Path) -> None:
    make_course(slug="a")
    db.session.commit()
    answer = app.test_cli_runner().invoke(args=["billing", "offer", str(write(tmp_path))])
    assert (answer.exit_code, answer.output) == (0, "Made: t. There already: none.\n")
