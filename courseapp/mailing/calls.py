"""What a provider's call says, before anybody has looked at it: JSON, of which nothing need be of the kind it should be."""

import json
from typing import Any


def object_in(content: bytes) -> dict[str, Any] | None:
    """The JSON object of a call; None where it is none."""
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def as_facts(value: Any) -> dict[str, Any]:
    """A value that should be an object; an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str:
    """A value that should be a text, cut; "" where it is none."""
    return value[:2000] if isinstance(value, str) else ""
