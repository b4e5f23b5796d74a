"""What a run is asked for, and what it answers."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """How long and how much."""

    quick: bool
    growth: int
    contacts: int = 1_000_000

    @property
    def learners(self) -> int:
        """Invented learners in the application's database, as many as the floor has users."""
        return 2_000 if self.quick else 10_000

    @property
    def guests(self) -> int:
        """Guests who really come in through /start."""
        return 40 if self.quick else 120

    @property
    def is_large(self) -> bool:
        """Whether growth is asked for beyond the learners that are there anyway."""
        return self.growth > self.learners + 1000

    @property
    def rounds(self) -> int:
        """Measured windows of each side for each number of connections."""
        return 2 if self.quick else 4

    @property
    def seconds(self) -> float:
        """Of each window."""
        return 0.8 if self.quick else 1.5

    @property
    def enrolments(self) -> int:
        """Fresh visitors fetched before each window: more than a window can use up."""
        return 250 if self.quick else 450

    @property
    def events(self) -> int:
        """Events of Stripe's for one window: more than a window can use up."""
        return 1500 if self.quick else 3000

    @property
    def mails(self) -> int:
        """Messages in the outbox for one round."""
        return 300 if self.quick else 1500

    @property
    def runs(self) -> int:
        """Rows of sequence_runs on the large side of the idle tick."""
        return 100_000 if self.quick else 1_000_000

    @property
    def media_mb(self) -> int:
        """Recordings of the course that is imported."""
        return 60 if self.quick else 300


@dataclass(frozen=True)
class Row:
    """One line of bench/results.json."""

    name: str
    value: float
    unit: str
    goal: str
    holds: bool
    detail: dict[str, Any]
