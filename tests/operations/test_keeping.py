"""Files in a folder: kept whole or not at all, whoever else keeps one at the same moment and whenever the process is killed."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pytest
from flask import Flask

from courseapp import storage

pytestmark = pytest.mark.one_database


@pytest.fixture
def kept_in(make_app: Callable[..., Flask], tmp_path: Path) -> Flask:
    """An application that keeps its files in a folder of its own."""
    return make_app(storage_url=(tmp_path / "kept").as_uri())


def test_many_threads_keep_files_at_the_same_moment_and_none_is_lost(kept_in: Flask) -> None:
    failures: list[BaseException] = []

    def keep_many(number: int) -> None:
        with kept_in.app_context():
            try:
                for index in range(40):
                    storage.keep(f"assets/{number}/{index}", bytes(1000))
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=keep_many, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with kept_in.app_context():
        assert failures == []
        assert len(list(storage.stored_keys())) == 320


def test_a_killed_process_leaves_nothing_under_a_name_and_what_it_left_is_swept(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    app = make_app(storage_url=(tmp_path / "kept").as_uri())
    with app.app_context():
        storage.keep("assets/1", b"whole")
        if (child := os.fork()) == 0:
            storage.keep_stream("assets/2", cast(IO[bytes], Killer()))
        os.waitpid(child, 0)
        halves = list((tmp_path / "kept" / storage.HALVES).iterdir())
        assert len(halves) == 1
        assert list(storage.stored_keys()) == ["assets/1"]
        assert storage.sweep(older_than=3600) == 0
        assert storage.sweep(older_than=-1) == 1
        assert not halves[0].exists()


class Killer:
    """A file in the middle of which the process dies."""

    pieces = 0

    def read(self, _size: int) -> bytes:
        """One piece; then the end."""
        self.pieces += 1
        if self.pieces == 3:
            os._exit(1)
        return bytes(1_000_000)
