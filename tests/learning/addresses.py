"""Every address of the site, for every thing there is."""

import io
import re
from itertools import product

from flask import Flask
from pypdf import PdfReader
from werkzeug.test import TestResponse

from courseapp.authoring.previews import OUTCOMES
from courseapp.catalog.models import Asset, Course, Lesson
from courseapp.extensions import db
from tests.client import Client


def addresses(app: Flask, *, with_ids: bool = True) -> list[str]:
    """Every address that can be fetched, filled in with each course, and if asked for each lesson and file there is."""
    lessons = [row.public_id for row in db.session.query(Lesson).order_by(Lesson.id)]
    assets = db.session.query(Asset).order_by(Asset.id).all()
    values = {
        "slug": [row.slug for row in db.session.query(Course)],
        "id": lessons,
        "lesson": lessons,
        "key": [row.key for row in db.session.query(Lesson).order_by(Lesson.id)],
        "number": [1],
        "outcome": list(OUTCOMES),
        "public_id": [*[row.public_id for row in assets], *lessons],
        "suffix": ["svg"],
        "token": ["nothing"],
        "name": ["privacy"],
        "plan": ["nothing"],
        "tag": ["de"],
        "place": ["nothing"],
        "filename": ["css/courseapp.css"],
    }
    found = []
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or not (with_ids or rule.arguments <= {"slug"}):
            continue
        names = sorted(rule.arguments)
        for chosen in product(*(values[name] for name in names)):
            found.append(app.url_map.bind("localhost").build(rule.endpoint, dict(zip(names, chosen, strict=True))))
    return sorted(set(found))


def text_of(answer: TestResponse) -> str:
    """What an answer says, were it a PDF."""
    if answer.headers.get("Content-Type", "").startswith("application/pdf"):
        return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(answer.data)).pages)
    return answer.data.decode("utf-8", "replace")


def crawl(client: Client, starts: list[str]) -> dict[str, str]:
    """Every page that can be reached by links from `starts`, without what changes by itself."""
    found: dict[str, str] = {}
    waiting = list(starts)
    while waiting:
        path = waiting.pop()
        if path in found or path.startswith("/static/"):
            continue
        answer = client.get(path)
        found[path] = f"{answer.status_code} {answer.location or ''}\n{same_in_all(text_of(answer))}"
        if answer.status_code == 302 and answer.location:
            waiting.append(answer.location)
        if "text/html" in answer.headers.get("Content-Type", ""):
            waiting += [link for link in re.findall(r'(?:href|src|data-opening)="(/[^"#?]*)', answer.text) if not link.endswith("/opening")]
    return found


def same_in_all(text: str) -> str:
    """A text without form tokens, moments, durations and numbers of requests."""
    text = re.sub(r'(name="csrf[_-]token" (?:value|content)=")[^"]+', r"\1TOKEN", text)
    text = re.sub(r"\d{1,2}:\d{2}:\d{2}(\u202f|\s)?([AP]M)?|\d+ s ago|T\d\d:\d\d:\d\d\.\d+|(?<=seconds )\d[\d.e+]*", "MOMENT", text)
    text = re.sub(r'"ms": [\d.]+|"request_id": "[0-9a-f]{12}"|(?<=number:) <span translate="no">[0-9a-f]{12}', "NUMBER", text)
    text = re.sub(r"\d[\d.]* GB|[\d.]+ ms apart", "SIZE", text)  # what the doctor sees of the machine
    text = re.sub(r'(name="draft" value="|data-device="lesson-draft:)[2-9a-hjkmnp-z]{16}', r"\1RANDOM", text)
    return re.sub(r"/mail/[\w.~-]+", "/mail/TOKEN", text)
