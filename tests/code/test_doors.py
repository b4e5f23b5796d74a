"""One door per outside system, and only edges commit."""

import ast
from pathlib import Path

import pytest

from tests.code.source import ROOT, Module, assert_clean, calls, expect, modules, plant

# Package → the one file that may import it; a file for each of the systems it leads to.
DOORS = {
    "stripe": "courseapp/billing/stripe_gateway.py",
    "smtplib": "courseapp/mailing/smtp.py",
    "aiosmtplib": "courseapp/mailing/smtp.py",
    "aiosmtpd": "courseapp/mailing/smtp.py",
    "dns": "courseapp/mailing/names.py",
    "http.client": "courseapp/mailing/selftest.py courseapp/mailing/ses.py",  # our own page, as a mail program; Amazon's certificates
    "imaplib": "courseapp/mailing/mailboxes.py",
    "poplib": "",
    "redis": "courseapp/extensions.py",
    "boto3": "courseapp/bucket.py",
    "botocore": "courseapp/bucket.py",
    "urllib.request": "courseapp/operations/embedded.py",  # asks the web server it started whether it is up
    "requests": "",
    "httpx": "",
}

# Who else may read the environment, and why.
ENVIRONMENT = {
    "courseapp/config.py": "the one reader",
    "courseapp/operations/embedded.py": "hands the environment on to the web server and worker it starts",
}

# Who else may touch files, and why. Everything else keeps files through storage.py.
FILES = {
    "courseapp/authoring/receiving.py": "reads the course folder it imports",
    "courseapp/authoring/preparing.py": "reads the files of that folder, writes what becomes of them to a temporary one",
    "courseapp/authoring/films.py": "writes films and sound to that temporary folder",
    "courseapp/authoring/boxes.py": "blanks what a film tells, in the copy that lies there",
    "courseapp/authoring/pieces.py": "hashes what lies there",
    "courseapp/authoring/unpacking.py": "lays an uploaded archive out in a temporary folder",
    "courseapp/authoring/exporting.py": "writes a course out as files, into that folder or where the command says",
    "courseapp/authoring/placing.py": "lays what was sent over a course, in that folder",
    "courseapp/authoring/documents.py": "looks through documents there, and puts Markdown in their place",
    "courseapp/authoring/word.py": "writes that Markdown",
    "courseapp/authoring/slides.py": "writes that Markdown",
    "courseapp/authoring/parts.py": "adds to files that grow, which nothing of the storage does, in a folder of DATA_DIR",
    "courseapp/authoring/loops.py": "makes and sweeps that temporary folder",
    "courseapp/billing/offering.py": "reads the file of tiers that the command names",
    "courseapp/campaigns/contact_files.py": "reads the list of contacts that the storage holds, as CSV",
    "courseapp/campaigns/publishing.py": "reads the folder of sequences it publishes",
    "courseapp/mailing/smtp.py": "writes mail to files in embedded mode",
    "courseapp/mailing/mailboxes.py": "reads the Maildir in which mail comes back, and removes what was read",
    "courseapp/mailing/preview.py": "shows those files at /outbox",
    "courseapp/mailing/forgetting.py": "removes mails of the forgotten, and old ones, from that folder",
    "courseapp/catalog/typeset.py": "reads its own Typst template, a file of the package",
    "courseapp/operations/embedded.py": "watches over the processes it starts, by files in DATA_DIR",
    "courseapp/operations/backups.py": "writes and reads the one file of a backup, which lies outside the storage on purpose",
    "courseapp/operations/encryption.py": "reads the key of an encrypted backup, and writes into a pipe",
    "courseapp/operations/erasures.py": "reads the records of erasures in a folder of the old installation",
    "courseapp/operations/diagnosis.py": "reads which migration this version needs, a file of the program",
}
TOUCHES = {
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "unlink",
    "rmdir",
    "rmtree",
    "hardlink_to",
    "symlink_to",
    "copyfile",
}

EDGES = {"views", "tasks", "cli", "loops"}


def side_doors(root: Path) -> list[str]:
    """Outside systems reached from elsewhere than their door."""
    found = []
    for module in modules(root, "courseapp", "migrations"):
        for node, target in module.imports:
            for package, door in DOORS.items():
                if (target == package or target.startswith(f"{package}.")) and module.name not in door.split():
                    found.append(module.at(node, f"{package} may be used {f'in {door} alone' if door else 'nowhere'}"))
    return found


def readers_of_the_environment(root: Path) -> list[str]:
    """os.environ and os.getenv outside config.py."""
    found = []
    for module in modules(root):
        for node in module.nodes:
            is_attribute = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os"  # request.environ is another thing
            name = node.attr if is_attribute else node.name if isinstance(node, ast.alias) else ""
            if name in {"environ", "environb", "getenv", "putenv"} and module.name not in ENVIRONMENT:
                found.append(module.at(node, "the environment is read in config.py alone"))
    return found


def openers_of_files(root: Path) -> list[str]:
    """Rooms that open or write files themselves."""
    found = []
    for module in modules(root):
        if module.room and module.name not in FILES:
            for node, called in calls(module):
                if called in TOUCHES or (called == "open" and _is_builtin_or_path(node)):
                    found.append(module.at(node, f"{called}(): files are kept through storage.py"))
    return found


def commits_below_the_edge(root: Path) -> list[str]:
    """Commits in business words, models, forms or root modules."""
    found = []
    for module in modules(root):
        if not (module.room and module.part in EDGES):
            for node, called in calls(module):
                if called == "commit" or (called == "begin" and "session" in ast.unparse(node.func)):
                    found.append(module.at(node, "only views, tasks, cli and loops commit"))
    return found


def _is_builtin_or_path(call: ast.Call) -> bool:
    """`open(…)`, `io.open(…)`, `Path(…).open()`, `path.open()`: not `Image.open` and the like."""
    called = call.func
    if isinstance(called, ast.Name):
        return True
    owner = ast.unparse(called.value) if isinstance(called, ast.Attribute) else ""
    return owner in {"io", "os"} or "Path(" in owner or owner.rpartition(".")[2] in {"path", "file", "folder"}


CHECKERS = (side_doors, readers_of_the_environment, openers_of_files, commits_below_the_edge)


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_application_uses_its_doors(checker):
    assert_clean(checker)


def test_every_exception_is_still_needed():
    """An exception whose file is gone, or no longer uses it, is to be struck off; what is not yet written may stand."""
    for name in {*ENVIRONMENT, *FILES}:
        if (ROOT / name).exists():
            module = Module(ROOT, ROOT / name)
            names = {called for _node, called in calls(module)} | {node.attr for node in module.nodes if isinstance(node, ast.Attribute)}
            assert names & (TOUCHES | {"open", "environ", "getenv"}) or name == "courseapp/config.py", f"{name} needs no exception"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("learning/pay.py", "def f():\n    import stripe", "stripe may be used"),
        ("learning/mail.py", "from smtplib import SMTP", "smtplib may be used"),
        ("clock.py", "from redis.asyncio import Redis", "redis may be used"),
        ("learning/progress.py", "import requests", "nowhere"),
        ("learning/progress.py", "import os\nos.environ['X']", "config.py alone"),
        ("web.py", "from os import getenv", "config.py alone"),
        ("learning/progress.py", "open('x')", "storage.py"),
        ("learning/progress.py", "from pathlib import Path\nPath('x').write_text('')", "storage.py"),
        ("learning/progress.py", "path.open('wb')", "storage.py"),
        ("learning/progress.py", "db.session.commit()", "commit"),
        ("learning/models.py", "def f(session): session.commit()", "commit"),
        ("web.py", "with db.session.begin(): pass", "commit"),
        ("learning/views.py", "db.session.commit()", None),
        ("learning/loops.py", "def f(): db.session.commit()", None),
        ("learning/progress.py", "with db.session.begin_nested(): pass\nImage.open(x)", None),
        ("extensions.py", "import redis", None),
        ("config.py", "import os\nos.environ", None),
    ],
)
def test_a_planted_door_is_judged_rightly(tmp_path, name, text, words):
    root = plant(tmp_path, {f"courseapp/{name}": text})
    expect([finding for checker in CHECKERS for finding in checker(root)], words)
