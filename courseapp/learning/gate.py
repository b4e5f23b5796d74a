"""The one gate: what an outcome opens. Pages, media, copies and feeds all ask here, and it is closed by default."""

from courseapp.catalog.models import CopyKind, Need
from courseapp.learning.models import Outcome

OPENING = {Outcome.GENTLY, Outcome.AHEAD}


def can_open(need: Need, outcome: Outcome | None) -> bool:
    """Whether what needs `need` is open to someone whose current outcome this is (None: no current outcome)."""
    return need is Need.NONE or outcome in OPENING


def is_adapted(outcome: Outcome | None) -> bool:
    """Whether the gentle version is the one to show; so it is for everyone not told to go ahead."""
    return outcome is not Outcome.AHEAD


def copy_kind(outcome: Outcome | None) -> CopyKind:
    """Which printed copy an outcome opens."""
    if outcome is Outcome.AHEAD:
        return CopyKind.FULL
    return CopyKind.GENTLE if outcome is Outcome.GENTLY else CopyKind.OPEN
