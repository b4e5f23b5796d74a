"""The privacy notice, the terms and the imprint: Markdown by the owner, from a draft of ours."""

from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from flask import render_template
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from courseapp.extensions import db
from courseapp.site import SiteSetting
from courseapp.web import page_language

if TYPE_CHECKING:
    from courseapp.catalog.markdown import Rendered

TITLES = {"privacy": _l("Privacy"), "terms": _l("Terms"), "imprint": _l("Imprint")}
PAGES = tuple(TITLES)
GAP = "[["


def title_of(page: str) -> str:
    """What a page is called."""
    return str(TITLES[page])


def draft_of(page: str) -> str:
    """A text to begin with; what only the owner knows stands in [[double brackets]]."""
    return render_template(f"organisation/drafts/{page}.md")


def problems_of(source: str) -> list[str]:
    """What keeps a text from being shown, in words."""
    found = [_("Line %(line)s: %(words)s", line=problem.line, words=problem.message) for problem in _rendered(source).problems]
    if GAP in source:
        found.insert(0, _("There are still gaps in [[double brackets]]. Please fill them in, or take them out."))
    return [str(words) for words in found]


def html_of(source: str) -> str:
    """A text as sanitised HTML, by the renderer of lessons."""
    return _rendered(source).html


def changed_on(page: str) -> datetime | None:
    """When a page was last changed; None where it was never written."""
    return db.session.scalar(sa.select(SiteSetting.changed_at).where(SiteSetting.name == page))


def _rendered(source: str) -> "Rendered":
    from courseapp.catalog.markdown import box_titles, render  # large, and few web processes ever render
    from courseapp.catalog.references import Surroundings

    around = Surroundings(folder="", assets={}, lessons={}, language=page_language(), box_titles=box_titles())
    return render(source, around)
