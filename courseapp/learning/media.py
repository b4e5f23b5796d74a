"""Media of lessons: found through the same gate as the lessons that show them."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.catalog.models import Asset, Course, Need
from courseapp.extensions import db
from courseapp.learning.gate import can_open
from courseapp.learning.models import Enrolment
from courseapp.learning.safety import current_outcome


def asset_for(user: User | None, public_id: str, now: datetime) -> Asset | None:
    """A file of a published course that this person may see: a public one, or one that a lesson shows which is open to them."""
    found = db.session.execute(
        sa.select(Asset, Enrolment.id)
        .join(Course, Course.id == Asset.course_id)
        .outerjoin(Enrolment, sa.and_(Enrolment.course_id == Course.id, Enrolment.user_id == (user.id if user is not None else None)))
        .where(Asset.public_id == public_id, Course.published_at.is_not(None))
    ).one_or_none()
    if found is None:
        return None
    asset, enrolment_id = found
    if asset.is_public:
        return asset
    if user is None or enrolment_id is None or not asset.is_shown:
        return None
    if asset.need is Need.NONE:
        return asset
    return asset if can_open(asset.need, current_outcome(user, now)) else None
