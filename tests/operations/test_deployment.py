"""What is shipped for running it, held against the code: settings exist, commands are the Procfile's, the database is not published."""

import configparser
import gc
import gzip
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from gunicorn.config import KNOWN_SETTINGS

from courseapp import web
from courseapp.config import Settings
from courseapp.extensions import celery
from courseapp.typed_values import types_of
from courseapp.web import LARGEST_LIST, LARGEST_UPLOAD
from tests.code.source import ROOT

COMPOSE = ROOT / "compose.yaml"
UNITS = {name: ROOT / "deploy" / "systemd" / f"courseapp-{name}.service" for name in ("web", "worker", "beat")}
OURS = ("release", "web", "worker", "beat")
OF_IMAGES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_INITDB_ARGS", "COURSEAPP_VERSION"}
OF_SYSTEMS = {"PATH", "HOME", "PYTHONUNBUFFERED", "MALLOC_ARENA_MAX", "TMPDIR"}
KNOWN = {name.upper() for name in types_of(Settings)} | OF_SYSTEMS


def procfile() -> dict[str, list[str]]:
    """Each process's command, as words."""
    return {name: words_of(command) for name, command in re.findall(r"^(\w+): (.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)}


def words_of(command: str) -> list[str]:
    """A command as words: without `exec`, the program's folder, and what its variables are where they are not set."""
    program, *words = shlex.split(re.sub(r"\$\{(\w+)(:-[^}]*)?\}", r"${\1}", command.removeprefix("exec ")))
    return [program.rpartition("/")[2], *words]


def compose() -> dict[str, Any]:
    """The compose file, parsed."""
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return parsed


def unit(name: str) -> configparser.SectionProxy:
    """The [Service] section of a unit. A name that stands twice would be lost, and is refused."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names of systemd are in mixed case
    parser.read_string(UNITS[name].read_text())
    return parser["Service"]


def settings_named() -> dict[str, set[str]]:
    """Every variable that the shipped files set or expand, by file."""
    text, dockerfile = COMPOSE.read_text(), (ROOT / "Dockerfile").read_text()
    services = compose()["services"]
    set_here = {name for service in services.values() for name in service.get("environment", {})}
    found = {
        "compose.yaml": (set_here | set(re.findall(r"\$\{(\w+)", text))) - OF_IMAGES,
        "Dockerfile": set(re.findall(r"(\w+)=", re.search(r"^ENV (.+)$", dockerfile, re.MULTILINE)[1])),
        "gunicorn.conf.py": set(re.findall(r"environ\.get\([\"'](\w+)", (ROOT / "gunicorn.conf.py").read_text())),
        "Caddyfile": set(re.findall(r"\{\$(\w+)", (ROOT / "deploy" / "Caddyfile").read_text())),
        "nginx.conf": set(re.findall(r"\b([A-Z]{2,}(?:_[A-Z]+)+)(?==)", (ROOT / "deploy" / "nginx.conf").read_text())),
    }
    for name in UNITS:
        section = unit(name)
        found[name] = set(re.findall(r"(\w+)=", section["Environment"])) | set(re.findall(r"\$\{(\w+)", section["ExecStart"]))
    return found


@pytest.mark.parametrize("file", settings_named())
def test_every_setting_that_is_named_exists(file: str) -> None:
    named = settings_named()[file]
    assert named
    assert named <= KNOWN


@pytest.mark.parametrize("name", OURS)
def test_compose_runs_the_procfiles_commands(name: str) -> None:
    *shell, command = compose()["services"][name]["command"]
    assert shell == ["sh", "-c"] or (not shell and " " not in command), "without a shell nobody takes the words apart"
    assert "$" not in command.replace("$$", ""), "compose would fill this in itself; $$ leaves it to the shell"
    assert words_of(command.replace("$$", "$")) == procfile()[name]


@pytest.mark.parametrize("name", UNITS)
def test_units_run_the_procfiles_commands_and_set_every_variable_in_them(name: str) -> None:
    section = unit(name)
    assert words_of(section["ExecStart"]) == procfile()[name]
    assert ":-" not in section["ExecStart"], "systemd knows no ${NAME:-default}"
    needed = set(re.findall(r"\$\{(\w+)", section["ExecStart"]))
    assert needed <= set(re.findall(r"(\w+)=", section["Environment"]))


def test_tables_are_brought_up_before_anything_uses_them() -> None:
    shell, option, command = shlex.split(unit("web")["ExecStartPre"])
    assert (shell, option) == ("/bin/sh", "-c")
    assert words_of(command.replace("/opt/courseapp/.venv/bin/", "")) == procfile()["release"]
    for name in ("worker", "beat"):
        assert "courseapp-web.service" in UNITS[name].read_text().partition("[Service]")[0]
    for name in ("web", "worker", "beat"):
        assert compose()["services"][name]["depends_on"]["release"] == {"condition": "service_completed_successfully"}


def test_the_image_runs_the_procfiles_web_server() -> None:
    command = re.search(r"^CMD (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert command is not None
    assert json.loads(command[1]) == procfile()["web"]


def test_gunicorn_takes_its_settings_and_looks_for_no_garbage_in_what_a_start_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WEB_WORKERS": "3", "WEB_THREADS": "5", "HOST": "127.0.0.1", "PORT": "1234"}.items():
        monkeypatch.setenv(name, value)
    told = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    assert (told["workers"], told["threads"], told["bind"]) == (3, 5, "127.0.0.1:1234")
    assert told["wsgi_app"] == "courseapp:create_app()"
    assert {name for name in told if name.islower() and not name.startswith("_")} - {"gc", "os", "host"} <= {
        each.name for each in KNOWN_SETTINGS
    }
    for name in ("WEB_WORKERS", "WEB_THREADS", "HOST", "PORT"):
        monkeypatch.setenv(name, "")  # as settings have it, and `${NAME:-…}`
    empty = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    assert (empty["workers"], empty["threads"], empty["bind"]) == (1, 8, "0.0.0.0:8000")
    assert unit("web")["WorkingDirectory"] == "/opt/courseapp", "the file is found where gunicorn starts"
    assert "WORKDIR /app\n" in (ROOT / "Dockerfile").read_text()
    try:
        told["post_fork"](None, None)
        assert not gc.isenabled()
        told["post_worker_init"](None)
        assert gc.isenabled()
        assert gc.get_freeze_count() > 100_000
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.mark.one_database
def test_the_worker_takes_work_from_every_queue_that_tasks_are_put_into(app) -> None:
    words = procfile()["worker"]
    served = set(words[words.index("--queues") + 1].split(","))
    assert served == {celery.conf.task_default_queue, *(route["queue"] for route in celery.conf.task_routes.values())}


def test_only_the_proxy_is_published_and_database_and_redis_reach_nobody() -> None:
    services, networks = compose()["services"], compose()["networks"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert not [name for name, service in services.items() if service.get("network_mode") or service.get("privileged")]
    for name in ("database", "redis"):
        assert services[name]["networks"] == ["inside"]
    assert networks["inside"]["internal"] is True
    assert services["proxy"]["networks"] == ["outside"]


@pytest.mark.parametrize("name", OURS)
def test_the_applications_containers_can_write_to_their_data_alone(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["volumes"] == [f"data:{service['environment']['DATA_DIR']}"]
    assert f"USER {service['user']}" in (ROOT / "Dockerfile").read_text()
    assert not service["user"].startswith("0")


def test_compose_names_no_volume_network_or_service_that_is_not_there() -> None:
    parsed = compose()
    for service in parsed["services"].values():
        assert set(service.get("networks", [])) <= set(parsed["networks"])
        assert set(service.get("depends_on", {})) <= set(parsed["services"])
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in parsed["volumes"] or (ROOT / source).exists(), source


def test_no_password_stands_in_a_shipped_file() -> None:
    for path in (COMPOSE, ROOT / "Dockerfile", *UNITS.values(), *(ROOT / "deploy").glob("*")):
        if path.is_file():
            assert not re.search(r"(?i)(password|secret_key|token)\s*[:=]\s*[\"']?[\w-]{4,}", path.read_text()), path


def test_compose_tells_the_application_that_it_stands_behind_one_proxy_in_production() -> None:
    for name in OURS:
        told = compose()["services"][name]["environment"]
        made = {key.lower(): re.sub(r"\$\{.*?\}", "x", value) for key, value in told.items()}
        settings = Settings(**made)
        assert (settings.mode, settings.trusted_proxies, settings.is_sqlite, bool(settings.redis_url)) == ("production", 1, False, True)


def test_the_image_holds_what_runs_and_nothing_of_this_machine() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    let_in = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--from)(\S+) ", dockerfile, re.MULTILINE))
    assert let_in == copied == {"courseapp", "templates", "migrations", "content", "worker.py", "gunicorn.conf.py", "requirements.txt"}
    assert all((ROOT / name).exists() for name in copied)
    assert "--require-hashes" in dockerfile


@pytest.mark.one_database
def test_the_image_sends_style_and_scripts_compressed_and_no_page(
    make_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = re.search(r"^RUN \S+/python (-m whitenoise.compress .+) courseapp/static$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert command is not None
    shutil.copytree(ROOT / "courseapp" / "static", tmp_path / "static")
    subprocess.run([sys.executable, *command[1].split(), tmp_path / "static"], check=True)
    monkeypatch.setattr(web, "STATIC", tmp_path / "static")
    client = make_app().test_client()
    plain = client.get("/static/css/courseapp.css")
    packed = client.get("/static/css/courseapp.css", headers={"Accept-Encoding": "gzip"})
    assert (plain.headers.get("Content-Encoding"), packed.headers.get("Content-Encoding")) == (None, "gzip")
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data) / 4
    assert packed.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get("/static/css/courseapp.css.gz").status_code == 404
    page = client.get("/sign-in", headers={"Accept-Encoding": "gzip"})  # pages carry form tokens beside what was typed (BREACH)
    assert "csrf_token" in page.text
    assert "Content-Encoding" not in page.headers


@pytest.mark.parametrize("name", UNITS)
def test_units_give_nothing_away_that_is_not_needed(name: str) -> None:
    section = unit(name)
    assert section["User"] == "courseapp"
    assert section["ProtectSystem"] == "strict"
    assert section["NoNewPrivileges"] == "yes"
    assert section["CapabilityBoundingSet"] == ""
    assert section["EnvironmentFile"].startswith("/")
    data, temporary = section["StateDirectory"].split()
    assert f"DATA_DIR=/var/lib/{data} TMPDIR=/var/lib/{temporary}" in section["Environment"]
    assert int(section["TimeoutStopSec"]) > 30, "gunicorn takes up to 30 s to finish what it is at"


def test_the_proxies_set_what_the_application_believes_and_log_no_address_asked_for() -> None:
    nginx = (ROOT / "deploy" / "nginx.conf").read_text()
    for header, value in {"For": "$remote_addr", "Proto": "https", "Host": "$host"}.items():
        assert re.findall(rf"X-Forwarded-{header} (\S+);", nginx) == [value]
    assert "proxy_set_header X-Request-ID $request_id;" in nginx
    assert set(re.findall(r"access_log (\S+);", nginx)) == {"off"}
    assert len(re.findall(r"error_log .* crit;", nginx)) == 1
    assert nginx.count("{") == nginx.count("}")
    caddy = (ROOT / "deploy" / "Caddyfile").read_text()
    assert "header_up X-Request-ID {http.request.uuid}" in caddy
    assert "request delete" in caddy
    assert caddy.count("{") == caddy.count("}")


def test_bringing_the_tables_up_is_not_cut_off_by_systemd() -> None:
    assert unit("web")["TimeoutStartSec"] == "infinity"


def test_the_nightly_backup_runs_as_the_others_do_and_is_encrypted() -> None:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names of systemd are in mixed case
    parser.read(ROOT / "deploy" / "systemd" / "courseapp-backup.service")
    backup, beat = parser["Service"], unit("beat")
    for name in ("User", "Group", "WorkingDirectory", "EnvironmentFile", "Environment", "StateDirectory", "UMask", "ProtectSystem"):
        assert backup[name] == beat[name], name
    hardened = {name for name in beat if name.startswith(("Protect", "Restrict", "Private", "System", "NoNew", "Capability", "Lock"))}
    assert len(hardened) > 15
    assert {name for name in hardened if backup.get(name) != beat[name]} == set()
    _shell, _option, command = shlex.split(backup["ExecStart"])
    words = shlex.split(command.replace("/opt/courseapp/.venv/bin/", "").replace("$$", "$"))
    assert words[:6] == ["flask", "--app", "courseapp", "backup", "create", "--replace"]
    assert "--to" in words
    assert words[-1].startswith(backup["ReadWritePaths"])


def test_what_is_being_uploaded_waits_on_disk_and_not_in_memory() -> None:
    assert "/data /data/tmp" in (ROOT / "Dockerfile").read_text()
    assert {compose()["services"][name]["environment"]["TMPDIR"] for name in OURS} == {"/data/tmp"}


def test_files_sent_piece_by_piece_are_passed_on_as_they_come() -> None:
    nginx = (ROOT / "deploy" / "nginx.conf").read_text()
    location = re.search(r"location /staff/uploads/parts \{(.*?)\}", nginx, re.DOTALL)[1]
    assert "proxy_request_buffering off;" in location
    assert "client_max_body_size 1g;" in location
    assert LARGEST_UPLOAD <= 1024**3
    assert re.search(r"location /staff/mail/contacts/new \{\s*client_max_body_size 52m;", nginx)
    assert LARGEST_LIST <= 52 * 1024**2
    caddy = (ROOT / "deploy" / "Caddyfile").read_text()
    assert "read_body " not in caddy.replace("(read_body)", "")
    assert "request_buffers 64KiB" in caddy  # a piece has 5 MB


def test_the_databases_log_quotes_no_row() -> None:
    words = compose()["services"]["database"]["command"]
    assert {"log_error_verbosity=terse", "log_min_error_statement=panic", "log_parameter_max_length=0"} <= set(words)


def test_the_nginx_example_is_one_that_debians_nginx_takes() -> None:
    """1.22 of Debian 12 knows no `http2 on`; later ones take the older way too."""
    nginx = (ROOT / "deploy" / "nginx.conf").read_text()
    assert "http2 on" not in nginx.replace('"http2 on"', "")
    assert len(re.findall(r"listen \S*443 ssl http2;", nginx)) == 2


def test_the_first_start_says_the_owners_link_once_where_logs_are_read(tmp_path: Path) -> None:
    """As compose's `release` and systemd's ExecStartPre run it: what it prints is what their logs show."""
    shell = compose()["services"]["release"]["command"]
    told = {name: value for name, value in compose()["services"]["release"]["environment"].items() if "${" not in value}
    required = {"SECRET_KEY": "x" * 43, "SENDER_ADDRESS": "a@example.org", "POSTAL_ADDRESS": "1 Road", "SMTP_URL": "smtp://localhost"}
    settings = {**told, **required, "BASE_URL": "https://learn.example.org", "ALLOW_SQLITE": "yes", "REDIS_URL": "", "TMPDIR": "/tmp"}
    environment = {**settings, "DATA_DIR": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    starts = [subprocess.run(shell, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120) for _ in range(2)]
    assert [start.returncode for start in starts] == [0, 0], starts[0].stderr
    links = [re.findall(r"https://learn\.example\.org/\S+", start.stdout + start.stderr) for start in starts]
    assert [len(found) for found in links] == [1, 0]


def test_the_guide_names_files_that_are_there() -> None:
    guide: str = (ROOT / "docs" / "operations.md").read_text()
    named = set(re.findall(r"deploy/[\w./-]*\w", guide))
    assert {"deploy/nginx.conf", "deploy/systemd"} <= named
    assert [name for name in named if not Path(ROOT / name).exists()] == []
