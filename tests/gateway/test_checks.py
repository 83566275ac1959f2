"""Whether a destination lets us in is asked with our credential, the way the relay asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gateway.desk import SECRET as DESK_SECRET
from tests.gateway.desk import Desk, DeskAdapter

from fieldpost.destinations.autotask import Autotask
from fieldpost.destinations.base import Contact
from fieldpost.hosts.cpython.credentials import CredentialTransport, Headers, OAuth
from fieldpost.ports import Request, Response, Transport, Upload
from fieldpost.testing.vendors.autotask import SECRET, FakeAutotask
from fieldpost.testing.vendors.base import Vendor, answer
from gateway import checks, cli


class Wire:
    """To one fake; of no files."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor

    async def send(self, request: Request) -> Response:
        return replace(self.vendor.answer(request), url=request.url)

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:
        raise NotImplementedError

    async def send_file(self, upload: Upload) -> Response:
        raise NotImplementedError


def autotask(secret: str) -> tuple[FakeAutotask, Autotask, Transport]:
    fake = FakeAutotask()
    adapter = Autotask(user=SECRET["UserName"], company_id=1, url=fake.url, credential="autotask")
    credential = Headers({**SECRET, "Secret": secret})
    return fake, adapter, CredentialTransport(Wire(fake), {"autotask": credential})


async def test_where_a_site_is_found_first_its_credential_is_tried_as_well() -> None:
    fake, adapter, transport = autotask("not the secret")
    for _ in range(2):  # also where the site was found before
        assert (await checks.test_connection(adapter, transport)).state == "signed_out"
    fake, adapter, transport = autotask(SECRET["Secret"])
    for _ in range(2):
        assert await checks.test_connection(adapter, transport) == Contact("online")
    asked = [request.url.rpartition("/")[2].partition("?")[0] for request in fake.requests]
    assert asked == ["zoneInformation", "entityInformation", "entityInformation"]


@pytest.mark.parametrize("status", [404, 500])
async def test_a_site_that_is_not_found_is_not_online(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, adapter, transport = autotask(SECRET["Secret"])
    says = answer({"errors": ["Zone information could not be determined."]}, status)
    monkeypatch.setattr(fake, "route", lambda _ask: says)
    assert (await checks.test_connection(adapter, transport)).state == "unreachable"
    assert len(fake.requests) == 1


async def test_one_that_always_asks_something_else_is_asked_so_often() -> None:
    class Restless(DeskAdapter):
        def probe(self) -> Request:
            return self.signed(Request("GET", f"{self.url}/fields?n={len(desk.requests)}"))

    desk = Desk()
    transport = CredentialTransport(Wire(desk), {"desk": Headers({"Authorization": DESK_SECRET})})
    adapter = Restless("desk", credential="desk")
    assert (await checks.test_connection(adapter, transport)).ok
    assert len(desk.requests) == 3


@pytest.mark.parametrize(
    ("status", "said", "state"),
    [
        (503, {}, "unreachable"),
        (429, {"error": "slow_down"}, "unreachable"),
        (400, {"error": "invalid_grant"}, "signed_out"),
    ],
)
async def test_a_sign_in_server_that_is_away_has_not_signed_out(
    status: int, said: dict[str, str], state: str
) -> None:
    class SignIn(Wire):
        async def send(self, request: Request) -> Response:
            return answer(said, status)

    desk = Desk()
    credential = OAuth("https://login.example/token", {}, SignIn(desk))
    transport = CredentialTransport(Wire(desk), {"desk": credential})

    class Asked(DeskAdapter):
        def probe(self) -> Request:
            return self.signed(Request("GET", f"{self.url}/fields"))

    contact = await checks.test_connection(Asked("desk", credential="desk"), transport)
    assert contact.state == state
    assert desk.requests == []


# --- on the command line -------------------------------------------------------------------------

ARCHIVE = """
[destinations.archive]
type = "file"
settings = {{ url = "file://{place}" }}
"""
UNPROVEN = """
[destinations.hook]
type = "webhook"
settings = { url = "https://hook.example/" }

[destinations.cases]
type = "salesforce"
settings = { instance_url = "https://acme.example" }
[destinations.cases.credential]
type = "oauth"
token_url = "https://acme.example/token"
client_id = "c"
refresh_token = "refresh-number-0"
"""
AWAY = """
[destinations.rows]
type = "postgrest"
settings = { url = "http://127.0.0.1:1", table = "tickets" }
"""


def run_test(tmp_path: Path, text: str, *more: str) -> int:
    file = tmp_path / "destinations.toml"
    file.write_text(text)
    file.chmod(0o600)
    return cli.main([*more, "test", "--destinations", str(file)])


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the process is, and nothing of a gateway."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    former = os.umask(0o022)
    yield
    os.umask(former)


@pytest.mark.usefixtures("elsewhere")
def test_a_file_is_tested_where_the_gateway_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    here = ARCHIVE.format(place=data / "out" / "items.jsonl")
    assert run_test(tmp_path, here, "--data", str(data)) == 0
    assert capsys.readouterr().out == "archive: online\n"
    assert data.stat().st_mode & 0o777 == 0o700
    file = tmp_path / "destinations.toml"
    asked = ["test", "--data", str(data), "--destinations", str(file)]
    assert cli.main(asked) == 0  # as with pair and unpair
    capsys.readouterr()
    there = ARCHIVE.format(place=tmp_path / "items.jsonl")
    assert run_test(tmp_path, there, "--data", str(data)) == 1
    assert "archive: unreachable (The file is not in the folder" in capsys.readouterr().out
    (tmp_path / "a file").touch()
    assert run_test(tmp_path, here, "--data", str(tmp_path / "a file")) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_what_cannot_be_proved_is_no_failure(
    tmp_path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_test(tmp_path, UNPROVEN) == 0
    assert capsys.readouterr().out.count(": unproven (") == 2
    assert run_test(tmp_path, UNPROVEN + AWAY) == 1
    assert "rows: unreachable" in capsys.readouterr().out
    assert list(elsewhere.iterdir()) == [], "nothing is made where no file is written"
