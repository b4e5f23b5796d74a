"""What authoring holds about a person: what an instructor uploaded and brought in."""

from typing import Any

import sqlalchemy as sa

from courseapp.authoring.models import Import, Upload
from courseapp.extensions import db


def export(user_id: int) -> dict[str, list[dict[str, Any]]]:
    """Every upload and every import by a person, oldest first."""
    uploads = db.session.execute(
        sa.select(Upload.files, Upload.created_at, Upload.state).where(Upload.by_user_id == user_id).order_by(Upload.id)
    )
    imports = db.session.execute(sa.select(Import.source, Import.at).where(Import.by_user_id == user_id).order_by(Import.id))
    return {
        "uploads": [{"files": files, "at": at.isoformat(), "state": state.value} for files, at, state in uploads],
        "imports": [{"source": source, "at": at.isoformat()} for source, at in imports],
    }


def erase(user_id: int) -> None:
    """Forget who it was; the course stays, and what was brought in can still be undone."""
    for model in (Upload, Import):
        db.session.execute(sa.update(model).where(model.by_user_id == user_id).values(by_user_id=None))
