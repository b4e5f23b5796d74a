"""Media of lessons: found through the same gate as the lessons that show them, but for what the public page shows."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.billing.entitlements import closed_modules, modules_in
from courseapp.catalog.models import Asset, Course, Lesson, Need, Revision
from courseapp.catalog.outline import is_released
from courseapp.extensions import db
from courseapp.learning.gate import can_open
from courseapp.learning.models import Enrolment
from courseapp.learning.safety import current_outcome


def asset_for(user: User | None, public_id: str, now: datetime) -> Asset | None:
    """A file of a published course that this person may see: a public one, or one that a lesson shows which is open to them."""
    user_id = user.id if user is not None else None
    found = db.session.execute(
        sa.select(Asset, Enrolment.id, closed_modules(Asset.course_id, user_id, now))
        .join(Course, Course.id == Asset.course_id)
        .outerjoin(Enrolment, sa.and_(Enrolment.course_id == Course.id, Enrolment.user_id == user_id))
        .where(Asset.public_id == public_id, Course.published_at.is_not(None))
    ).one_or_none()
    if found is None:
        return None
    asset, enrolment_id, closed = found
    if asset.is_public:  # the public page shows it, in its article or in the sample, whatever payment closes
        return asset
    if user is None or enrolment_id is None or not asset.is_shown:
        return None
    needs = [asset.need] if closed is None else _needs_where_open(asset, modules_in(closed))
    if Need.NONE in needs:
        return asset
    outcome = current_outcome(user, now) if needs else None
    return asset if any(can_open(need, outcome) for need in needs) else None


def _needs_where_open(asset: Asset, closed: frozenset[int]) -> list[Need]:
    """What the lessons need that show a file and that payment leaves open. Which they are stands in their texts alone."""
    query = (
        sa.select(Lesson.needs_check)
        .join(Revision, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        .where(Lesson.course_id == asset.course_id, is_released(), Lesson.module_id.not_in(closed))
        .where(sa.or_(_shows(Revision.html, asset), _shows(Revision.adapted_html, asset)))
    )
    return list(db.session.scalars(query.distinct()))


def _shows(html: Any, asset: Asset) -> sa.ColumnElement[bool]:
    shown: sa.ColumnElement[bool] = html.contains(f"/assets/{asset.public_id}.")
    return shown
