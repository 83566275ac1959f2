"""Whether a destination lets us in is asked with our credential, the way the relay asks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.gateway.desk import SECRET as DESK_SECRET
from tests.gateway.desk import Desk, DeskAdapter

from fieldpost.destinations.autotask import Autotask
from fieldpost.destinations.base import Contact
from fieldpost.hosts.cpython.credentials import CredentialTransport, Headers, OAuth
from fieldpost.ports import Request, Response, Transport, Upload
from fieldpost.testing.vendors.autotask import SECRET, FakeAutotask
from fieldpost.testing.vendors.base import Vendor, answer
from gateway import checks


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
