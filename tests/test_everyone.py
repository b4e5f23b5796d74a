"""Every route answers every kind of person as routes.txt says: about what is theirs, what is another's, and what is not there.

Not in `tests/code`, which runs at every commit: it sends some two thousand requests.
"""

import pytest

from tests.code.matrix import TABLE, rows_of, wrong_answers
from tests.code.stage import Stage
from tests.code.test_matrix import fail_with, stage

__all__ = ["stage"]


@pytest.mark.one_database
@pytest.mark.settings(stripe_secret_key="sk_test_of_nobody", stripe_url="http://127.0.0.1:9")  # a site that sells; nobody answers there
@pytest.mark.parametrize("is_staff", [False, True])  # two halves, for two workers
def test_everyone_is_answered_as_the_table_says(stage: Stage, is_staff: bool) -> None:
    fail_with(wrong_answers([row for row in rows_of(TABLE.read_text()) if row.rule.startswith("/staff/") is is_staff], stage.ask))
