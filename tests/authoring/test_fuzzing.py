"""A few seconds of strange uploads, always the same ones; `python -m bench.fuzz` sends them for as long as one likes."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_strange_uploads_are_answered_in_words_and_leave_nothing() -> None:
    command = [sys.executable, "-m", "bench.fuzz", "--minutes", "0.1", "--seed", "11"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    count = re.search(r"^(\d+) uploads in .* 0 failed$", run.stdout, re.MULTILINE)
    assert count is not None, run.stdout
    assert int(count[1]) > 5
