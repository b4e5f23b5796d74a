"""What is shipped for running it, held against the code: settings exist, commands are the Procfile's, the database is not published."""

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from courseapp.config import Settings
from courseapp.extensions import celery
from tests.code.source import ROOT

COMPOSE = ROOT / "compose.yaml"
UNITS = {name: ROOT / "deploy" / "systemd" / f"courseapp-{name}.service" for name in ("web", "worker", "beat")}
OURS = ("release", "web", "worker", "beat")
OF_IMAGES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_INITDB_ARGS", "COURSEAPP_VERSION"}
OF_SYSTEMS = {"PATH", "HOME", "PYTHONUNBUFFERED"}
KNOWN = {name.upper() for name in Settings.model_fields} | OF_SYSTEMS


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


def image_command() -> list[str]:
    """What the image runs unless told otherwise."""
    shell, option, command = json.loads(re.search(r"^CMD (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1])
    assert (shell, option) == ("sh", "-c")
    return words_of(command)


def settings_named() -> dict[str, set[str]]:
    """Every variable that the shipped files set or expand, by file."""
    text, dockerfile = COMPOSE.read_text(), (ROOT / "Dockerfile").read_text()
    services = compose()["services"]
    set_here = {name for service in services.values() for name in service.get("environment", {})}
    found = {
        "compose.yaml": (set_here | set(re.findall(r"\$\{(\w+)", text))) - OF_IMAGES,
        "Dockerfile": set(re.findall(r"(\w+)=", re.search(r"^ENV (.+)$", dockerfile, re.MULTILINE)[1])),
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
    shell, option, command = compose()["services"][name]["command"]
    assert (shell, option) == ("sh", "-c")
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
    assert image_command() == procfile()["web"]


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
    assert let_in == copied == {"courseapp", "templates", "migrations", "content", "worker.py", "requirements.txt"}
    assert all((ROOT / name).exists() for name in copied)
    assert "--require-hashes" in dockerfile


@pytest.mark.parametrize("name", UNITS)
def test_units_give_nothing_away_that_is_not_needed(name: str) -> None:
    section = unit(name)
    assert section["User"] == "courseapp"
    assert section["ProtectSystem"] == "strict"
    assert section["NoNewPrivileges"] == "yes"
    assert section["CapabilityBoundingSet"] == ""
    assert section["EnvironmentFile"].startswith("/")
    assert f"DATA_DIR=/var/lib/{section['StateDirectory']}" in section["Environment"]
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


def test_the_guide_names_files_that_are_there() -> None:
    guide: str = (ROOT / "docs" / "operations.md").read_text()
    named = set(re.findall(r"deploy/[\w./-]*\w", guide))
    assert {"deploy/nginx.conf", "deploy/systemd"} <= named
    assert [name for name in named if not Path(ROOT / name).exists()] == []
