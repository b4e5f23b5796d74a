"""The mails that every installation sends, and what fills them in: for the tests of their words, and for their pictures."""

from collections.abc import Iterator
from pathlib import Path

from courseapp.contacts.models import Purpose
from courseapp.mailing.message import Built, _template, built
from courseapp.mailing.text import Target, Text

SEQUENCE = Path(__file__).parent.parent.parent / "content" / "sequences" / "first-week"
PAID, UNTIL = {"amount": "€9.00"}, {"until": "December 14, 2026"}
OWN_PLAN = {"plan_url": "https://learn.example/account/plan"}
TEMPLATES = {
    "accounts/sign_in": {"secret_url": "https://learn.example/sign-in/link/TOKEN", "secret_code": "012345"},
    "accounts/welcome": {"continue_url": "https://learn.example/learn", "account_url": "https://learn.example/account"},
    "accounts/address_new": {"secret_url": "https://learn.example/account/address/TOKEN"},
    "accounts/address_old": {"secret_url": "https://learn.example/account/address/TOKEN"},
    "billing/gift": {"page_url": "https://learn.example/learn", "plan_url": "https://learn.example/account/plan"},
    **{
        f"billing/{name}": {"tier": "Your course, second part", **more}
        for name, more in {
            "bought": PAID | {"page_url": "https://learn.example/learn"},
            "bought_as_guest": PAID | {"secret_url": "https://learn.example/sign-in/link/TOKEN"},
            "on_its_way": OWN_PLAN,
            "not_arrived": {"page_url": "https://learn.example/plans"},
            "renewed": PAID | UNTIL | OWN_PLAN,
            "changed": PAID | OWN_PLAN,
            "late_closed": PAID | OWN_PLAN,
            "late": PAID | UNTIL | OWN_PLAN,
            "bank_asks": PAID | UNTIL | OWN_PLAN | {"secret_url": "https://learn.example/at-stripe/invoice"},
            "trial_begun": PAID | UNTIL | OWN_PLAN | {"page_url": "https://learn.example/learn"},
            "trial_ends": PAID | UNTIL | OWN_PLAN,
            "refunded": PAID | OWN_PLAN,
            "part_refunded": PAID | OWN_PLAN,
        }.items()
    },
    "campaigns/agree": {"secret_url": "https://learn.example/agree/TOKEN"},
    "organisation/invitation": {"secret_url": "https://learn.example/invitation/TOKEN"},
    "operations/sign_in_link": {
        "secret_url": "https://learn.example/sign-in/link/TOKEN",
        "sign_in_url": "https://learn.example/sign-in",
    },
    "operations/address_told": {"secret_url": "https://learn.example/account/address/TOKEN"},
    "operations/question": {
        "secret_kind": "Mails",
        "secret_text": "The first line.",
        "secret_answer_to": "ada@example.org",
        "list_url": "https://learn.example/staff/questions",
    },
    "operations/stream_paused": {
        "why": "It paused itself: 12 of 200 mails of a day came back: the addresses take none.",
        "mail_url": "https://learn.example/staff/mail",
    },
    "operations/money_attention": {
        "what": "Somebody disputes a payment. What it opened is closed until their bank decides. Answer at Stripe in time.",
        "look_url": "https://learn.example/staff/billing/events",
    },
    "operations/report": {
        "secret_about": "Lesson number 1",
        "secret_text": "A word is missing.",
        "list_url": "https://learn.example/staff/questions",
    },
}

LESSON = Target("What the pelvic floor does", "Where it lies, and what it holds.", "/lessons/abc")
EVERY_BLOCK = Text(
    "en",
    "Every block of a letter",
    "How each of them looks.",
    """Hello {{ first_name | default("there") }},

this letter has **every block** there is, *once each*, with [a link in a sentence](https://learn.example/help-now) and
`a word as it is typed`.

## A heading

- One thing,
- and another that is so long that it takes a second line on most screens, and a third on a small telephone.

1. First this,
2. then that.

<lesson:introduction/one>

::: note
A note stands a little apart. It holds what is good to know, and it may have [a link](https://learn.example/ask) in it.
:::

---

> Somebody said this.

[Continue the course]({{ continue_url }})

A word that does not end: https://learn.example/a-very-long-address-without-any-place-where-it-could-be-broken-at-all.
""",
    Purpose.MARKETING,
    (("lesson:introduction/one", LESSON),),
)
VALUES = {"first_name": "Ada", "continue_url": "https://learn.example/learn", "unsubscribe_url": "https://learn.example/unsubscribe/TOKEN"}


def standard_mails() -> Iterator[tuple[str, Built]]:
    """Each by a name of its own; needs an application."""
    for template, fields in TEMPLATES.items():
        text, because = _template(template, "en", Purpose.SERVICE)
        values = {name.removeprefix("secret_"): value for name, value in fields.items()}
        yield template.partition("/")[2].replace("_", "-"), built(text, {"first_name": "Ada", **values}, because)
    for path in sorted(SEQUENCE.glob("[0-9].md")):
        head, body = path.read_text(encoding="utf-8").removeprefix("---\n").split("\n---\n", 1)
        facts = {name: words.strip('"') for name, words in (line.split(": ", 1) for line in head.splitlines())}
        text = Text("en", facts["subject"], facts["preheader"], body.strip(), Purpose.COURSE)
        yield f"first-week-{path.stem}", built(text, {**VALUES, "progress_words": "4 of 14 lessons"})
    yield "every-block", built(EVERY_BLOCK, VALUES)
