"""The embedded broker's messages: a reader never sees half of one."""

import threading
from pathlib import Path
from queue import Empty

from kombu import Connection

from courseapp.whole_files import SCHEME


def test_a_reader_beside_a_busy_writer_never_takes_half_a_message(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    options = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path / "control")}
    sent = [{"body": "x" * 200, "number": number} for number in range(400)]
    found = []
    with (
        Connection(f"{SCHEME}://localhost", transport_options=options) as writing,
        Connection(f"{SCHEME}://localhost", transport_options=options) as reading,
    ):
        writer, reader = writing.channel(), reading.channel()
        thread = threading.Thread(target=lambda: [writer._put("work", message) for message in sent])
        thread.start()
        while thread.is_alive() or any(tmp_path.glob("*.msg")):
            try:
                found.append(reader._get("work"))
            except Empty:
                continue
        thread.join()
    assert sorted(message["number"] for message in found) == list(range(400))
