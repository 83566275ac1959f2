"""The file that names the destinations: what is wrong with it is told by its place, and no secret
stands where others can read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fieldpost.destinations.jira import Jira
from fieldpost.destinations.servicenow import ServiceNow
from fieldpost.hosts.cpython.credentials import HIDDEN
from fieldpost.ports import Request
from gateway import checks, cli
from gateway.settings import CannotStart
from gateway.systems import System, read_systems
from gateway.types import TYPES

WHOLE = """
[destinations.servicenow]
type = "servicenow"
title = "The service desk"
requests = 2
settings = { instance = "acme" }
credential = { type = "basic", username = "fieldpost", password = "env:SNOW_PASSWORD" }

[destinations.servicenow.fields]
ticket = [{ to = "assignment_group", value = "Field" }, { to = "category" }]

[destinations.jira]
type = "jira"
settings = { base_url = "https://acme.example", project_key = "SUP" }
"""
ENVIRON = {"SNOW_PASSWORD": "correct horse", "HOOK": "whsec_" + "A" * 32}


def read(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[System]:
    file = tmp_path / "destinations.toml"
    file.write_text(text)
    file.chmod(0o644)
    return read_systems(file, TYPES, ENVIRON if environ is None else environ)


async def test_a_whole_file(tmp_path: Path) -> None:
    desk, jira = read(tmp_path, WHOLE)
    assert (desk.name, desk.title, desk.requests) == ("servicenow", "The service desk", 2)
    assert isinstance(desk.adapter, ServiceNow)
    assert isinstance(jira.adapter, Jira)
    assert desk.credential is not None
    added = await desk.credential.headers(Request("GET", "https://acme.example"))
    assert list(added) == ["Authorization"]
    shown = checks.dry_run(desk.adapter, "ticket", checks.sample("ticket"))
    assert "/table/sys_user?sysparm_query=email%3Dann%40example.org" in shown["asks"]
    assert shown["body"]["assignment_group"] == "Field"
    assert "category" not in shown["body"]
    assert HIDDEN in shown["headers"].values()
    assert "horse" not in json.dumps(shown)
    assert jira.credential is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("servicenow]", "Service Now]"), "is not TOML"),
        (('type = "servicenow"', 'type = "snow"'), "destinations.servicenow must have a type"),
        (("acme", ""), "settings.instance or settings.url is missing"),
        (('instance = "acme"', 'instance = "a", tabel = "x"'), "settings.tabel is not known"),
        (("requests = 2", "requests = 0"), "requests must be 1 to 100"),
        (
            (
                'type = "jira"\nsettings = {',
                'type = "autotask"\nrequests = 4\nsettings = { user = "u", company_id = 1 } #',
            ),
            "destinations.jira requests must be 1 to 3",
        ),
        (('"basic"', '"digest"'), "credential.type must be one of"),
        (('username = "fieldpost", ', ""), "credential.username is missing"),
        (("env:SNOW_PASSWORD", "env:NOT_SET"), "the variable NOT_SET, which is not set"),
        (("env:SNOW_PASSWORD", "file:/not/there"), "/not/there cannot be read"),
        (("env:SNOW_PASSWORD", "in the open"), "stands in a file that others can read"),
        (('value = "Field"', 'valeu = "Field"'), "servicenow.ticket[0] has 'valeu'"),
        (('"SUP"', '""'), "destinations.jira settings.project_key is missing"),
    ],
    ids=lambda each: each[1] if isinstance(each, tuple) else "",
)
def test_mistakes_are_told_by_their_place(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(CannotStart) as refused:
        read(tmp_path, WHOLE.replace(*change))
    assert said in str(refused.value)
    assert "correct horse" not in str(refused.value)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    with pytest.raises(CannotStart) as refused:
        read(tmp_path, WHOLE.replace("SUP", ""), {})
    assert "servicenow" in str(refused.value)
    assert "jira" in str(refused.value)


def test_a_secret_may_stand_where_nobody_else_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "destinations.toml"
    file.write_text(WHOLE.replace("env:SNOW_PASSWORD", "in the file"))
    file.chmod(0o600)
    assert read_systems(file, TYPES, {})[0].credential is not None


def test_the_inbox_is_the_gateways_own(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="not 'inbox'"):
        read(tmp_path, WHOLE.replace("destinations.jira]", "destinations.inbox]"))


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


def test_a_dry_run_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNOW_PASSWORD", "correct horse")
    file = tmp_path / "destinations.toml"
    file.write_text(WHOLE)
    assert run("dry-run", "--destinations", str(file), "servicenow") == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert shown["method"] == "POST"
    assert shown["url"].startswith("https://acme.service-now.com/api/now/table/incident")
    payload = tmp_path / "ticket.json"
    payload.write_text('{"description": "no summary"}')
    asked = ["dry-run", "--destinations", str(file), "servicenow", "--payload", str(payload)]
    assert run(*asked) == 1
    assert "summary" in capsys.readouterr().out
    assert run("dry-run", "--destinations", str(file), "nowhere") == 2
    assert "There is no destination" in capsys.readouterr().err
