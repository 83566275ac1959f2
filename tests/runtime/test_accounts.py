"""Signed in by its user, a device delivers by itself: tokens are renewed once, nothing goes out
without one, and no item of one account under another."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.runtime.worlds import DEVICE, RING

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.base import Discovered
from fieldpost.destinations.direct import Direct, read_direct
from fieldpost.destinations.fieldmap import Rule
from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.engine.errors import InvalidItem, ItemNotFound, OtherAccount, SignInFailed
from fieldpost.engine.model import Capture
from fieldpost.engine.transitions import State
from fieldpost.ports import NoAnswer, Request, Response
from fieldpost.runtime.account import BEGUN_MS_MAX, Account, Ports
from fieldpost.runtime.accounts import Accounts, Own
from fieldpost.runtime.bridge import Bridge
from fieldpost.runtime.catalogue import ASKED_EVERY_MS
from fieldpost.runtime.credentials import HIDDEN, CredentialTransport
from fieldpost.runtime.driver import Host
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.routes import Lane
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.fakes import FakeClock, FakeLink, LocalTabs, SeededEntropy
from fieldpost.testing.vendors.authorization import CLIENT, FakeSignIn
from fieldpost.testing.vendors.base import VendorTransport, lose_answer, says
from fieldpost.testing.vendors.postgrest import JWT, PUBLISHABLE, FakePostgREST
from fieldpost.testing.vendors.salesforce import FakeSalesforce

HOME = "https://app.example/"
TICKET = {"summary": "Lift 2 stands still", "description": "Since Monday"}


@dataclass
class Tab:
    queue: Queue
    accounts: Accounts
    account: Account


class Wire(VendorTransport):
    """`down`: paths that nobody answers; `busy`: that ask to wait for ten minutes."""

    down: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()
    turned_away = 0

    async def send(self, request: Request) -> Response:
        if any(part in request.url for part in self.down):
            raise NoAnswer("network")
        if any(part in request.url for part in self.busy):
            self.turned_away += 1
            return Response(429, {"retry-after": "600"}, b"", request.url)
        return await super().send(request)


@dataclass
class Desk:
    """A device, a gateway that is away, and one system that it delivers to by itself."""

    desk: FakeSignIn
    one: Direct
    clock: FakeClock = field(default_factory=FakeClock)
    store: MemoryStore = field(default_factory=lambda: MemoryStore(RING))
    tabs: LocalTabs = field(default_factory=LocalTabs)
    entropy: SeededEntropy = field(default_factory=SeededEntropy)

    def __post_init__(self) -> None:
        self.desk.now = self.desk.inner.now = self.clock.now
        self.wire = Wire(self.store, [self.desk])

    async def open(self) -> Tab:
        """One more context of the same store."""
        ports = Ports(self.store, self.wire, self.clock, self.entropy, self.tabs)
        account = Account(self.one.name, self.one.title, self.one.provider, ports)
        await account.load()
        transport = CredentialTransport(self.wire, {self.one.name: account})
        host = Host(self.store, transport, self.clock, self.entropy, FakeLink(), self.tabs)
        home = GatewayDestination("https://post.example/", DEVICE)
        own = Own(self.one.adapter, account)
        lanes = [Lane(home), Lane(own, self.one.name, title=self.one.title)]
        queue = Queue(host, lanes, owner="tab")
        accounts = Accounts([account])
        accounts.follow(queue.adopt, lambda: None)
        return Tab(queue, accounts, account)

    def answer(self, url: str, person: str) -> dict[str, str]:
        """What the person brings back from the sign-in page."""
        assert self.desk.answer(Request("GET", url)).status == 200
        decided = url.replace("/authorize?", "/decide?") + f"&as={person}"
        location = self.desk.answer(Request("GET", decided)).headers["location"]
        assert location.startswith(HOME)
        return dict(parse_qsl(urlsplit(location).query))

    async def sign_in(self, tab: Tab, person: str = "anna") -> dict[str, Any]:
        url = (await tab.accounts.begin(self.one.name, HOME))["url"]
        return await tab.accounts.finish(self.answer(url, person))

    async def add(self, tab: Tab, **options: Any) -> str:
        chosen = {"destination": self.one.name, **options}
        return (await tab.queue.enqueue("ticket", TICKET, **chosen)).id

    async def settle(self, tab: Tab, minutes: int = 30) -> None:
        for _ in range(2 * minutes):
            await tab.queue._loop.turn()
            self.clock.advance(30_000)

    def sent(self) -> list[Request]:
        """What reached the system itself, other than preflights and sign-ins."""
        return self.desk.inner.requests


def salesforce() -> Desk:
    desk = FakeSignIn(FakeSalesforce(), credential="Bearer session")
    table = {
        "type": "salesforce",
        "title": "Salesforce",
        "settings": {"instance_url": desk.url},
        "oauth": {"client_id": CLIENT},
    }
    return Desk(desk, read_direct({"cases": table})[0])


def supabase() -> Desk:
    inner = FakePostgREST()
    desk = FakeSignIn(inner, credential=f"Bearer {JWT}", dialect="supabase")
    table = {
        "type": "postgrest",
        "title": "Supabase",
        "settings": {"url": f"{desk.url}/rest/v1", "table": inner.table, "apikey": PUBLISHABLE},
        "oauth": {"dialect": "supabase", "provider": "google"},
    }
    return Desk(desk, read_direct({"rows": table})[0])


@pytest.fixture(params=[salesforce, supabase])
def desk(request: pytest.FixtureRequest) -> Desk:
    made: Desk = request.param()
    return made


async def test_it_waits_for_a_sign_in_and_arrives_once_under_that_account(desk: Desk) -> None:
    tab = await desk.open()
    item = await desk.add(tab)
    await desk.settle(tab)
    waiting = await tab.queue.get(item)
    assert (waiting.state, waiting.attempts) == (State.PENDING, 0)
    assert desk.sent() == []  # nothing leaves without a token
    row = (await tab.queue.list("waiting"))["rows"][0]
    assert row["why"] == f"It waits until you sign in to {desk.one.title}, under Settings."
    told = await desk.sign_in(tab)
    assert told["signed_in"]
    assert "anna" in told["as"].lower()
    await desk.settle(tab)
    assert (await tab.queue.get(item)).state is State.COMPLETED
    assert [(r.op, desk.desk.by[r.op]) for r in desk.desk.inner.records] == [(item, "anna")]
    sent = (await tab.queue.list("sent"))["rows"][0]
    assert sent["destination"] == desk.one.name


async def test_the_form_is_offered_it_beside_what_the_gateway_may_have(desk: Desk) -> None:
    tab = await desk.open()
    given = await tab.queue.catalogue()
    assert given is not None
    assert given["home"] == "unknown"
    (entry,) = given["destinations"]
    assert (entry["name"], entry["direct"], entry["guarantee"]) == (desk.one.name, True, "strong")
    assert "summary" in entry["fields"]["ticket"]["required"]
    lanes = (await tab.queue.status())["lanes"]
    assert lanes[desk.one.name]["title"] == desk.one.title
    await desk.add(tab)
    await tab.queue.enqueue("ticket", TICKET)
    lanes = (await tab.queue.status())["lanes"]
    assert {name: lane["waiting"] for name, lane in lanes.items()} == {
        "gateway": 1,
        desk.one.name: 1,
    }


def asked_what_it_wants(desk: Desk) -> int:
    """Salesforce's description of the object, PostgREST's of everything."""
    return sum(r.url.endswith(("/describe", "/rest/v1/")) for r in desk.sent())


async def offered(tab: Tab) -> dict[str, Any]:
    given = await tab.queue.catalogue() or {}
    (entry,) = given["destinations"]
    fields: dict[str, Any] = entry["fields"]["ticket"]
    return fields


async def test_what_it_requires_is_asked_once_a_day_and_known_offline(desk: Desk) -> None:
    tab = await desk.open()
    await desk.settle(tab, 1)
    mapped = await offered(tab)
    assert desk.sent() == []  # not before a sign-in
    await desk.sign_in(tab)

    async def network_returns() -> None:
        tab.queue.nudge(ask_now=True)
        await tab.queue.sync()

    for _ in range(3):
        await network_returns()
    assert asked_what_it_wants(desk) == 1
    said = await offered(tab)
    assert said != mapped
    assert set(said["required"]) >= set(mapped["required"])
    desk.wire.down = ("http",)
    assert await offered(await desk.open()) == said  # another start, without a network
    desk.wire.down = ()
    desk.clock.advance(ASKED_EVERY_MS)
    await network_returns()
    assert asked_what_it_wants(desk) == 2


async def test_what_was_said_of_another_field_map_is_asked_again(desk: Desk) -> None:
    tab = await desk.open()
    await desk.sign_in(tab)
    await tab.queue.sync()
    adapter: Any = desk.one.adapter
    rules = {kind: (*rules, Rule("Reason", value="x")) for kind, rules in adapter.fields.items()}
    changed = replace(desk, one=replace(desk.one, adapter=replace(adapter, fields=rules)))
    again = await changed.open()
    assert "summary" in (await offered(again))["required"]
    await again.queue.sync()
    assert asked_what_it_wants(desk) == 2


async def test_an_org_whose_key_is_not_unique_is_promised_less_and_says_so() -> None:
    desk = salesforce()
    inner: Any = desk.desk.inner
    key = inner.fields["Fieldpost_Id__c"]
    key["unique"] = False
    tab = await desk.open()
    await desk.sign_in(tab)

    async def told(tab: Tab) -> tuple[str, int, str]:
        await tab.queue.sync()
        given = await tab.queue.catalogue() or {}
        (entry,) = given["destinations"]
        return entry["guarantee"], len(entry["notes"]), desk.one.adapter.declaration.guarantee

    assert await told(tab) == ("checked", 1, "checked")
    key["unique"] = True
    desk.clock.advance(ASKED_EVERY_MS)
    tab.queue.nudge(ask_now=True)
    assert await told(tab) == ("strong", 0, "strong")
    key["unique"] = False
    desk.clock.advance(ASKED_EVERY_MS)
    tab.queue.nudge(ask_now=True)
    assert await told(tab) == ("checked", 1, "checked")
    desk.one.adapter.learn(Discovered())  # as in a process that has just started
    again = await desk.open()
    await again.queue.start()
    assert desk.one.adapter.declaration.guarantee == "checked"
    await again.queue.close()


async def test_an_answer_lost_after_the_commit_is_not_doubled(desk: Desk) -> None:
    tab = await desk.open()
    await desk.sign_in(tab)
    desk.desk.inner.faults = [lose_answer]
    item = await desk.add(tab)
    await desk.settle(tab)
    assert (await tab.queue.get(item)).state is State.COMPLETED
    assert len(desk.desk.inner.with_op(item)) == 1


async def test_tokens_that_ended_are_renewed_once_for_all_contexts(desk: Desk) -> None:
    one, other = await desk.open(), await desk.open()
    await desk.sign_in(one)
    desk.desk.end_tokens()
    header = await one.account.headers(Request("GET", desk.desk.url))
    both = await asyncio.gather(*(tab.account.renew(header) for tab in (one, other, one, other)))
    assert both == [True] * 4
    assert desk.desk.said.count("refresh") == 1
    assert await one.account.headers(Request("GET", "")) == await other.account.headers(
        Request("GET", "")
    )
    item = await desk.add(other)
    await desk.settle(other)
    assert (await one.queue.get(item)).state is State.COMPLETED
    assert "reuse" not in desk.desk.said


async def test_a_token_known_to_end_is_renewed_before_it_does() -> None:
    desk = supabase()
    desk.desk.lasts_ms = 600_000
    tab = await desk.open()
    await desk.sign_in(tab)
    desk.clock.advance(545_000)
    item = await desk.add(tab)
    await tab.queue.sync()
    assert desk.desk.said == ["code", "exchange", "refresh"]
    assert (await tab.queue.get(item)).state is State.COMPLETED


async def test_a_renewed_token_is_durable_before_it_is_used(desk: Desk) -> None:
    """The browser dies just as the new token is on its way out."""
    tab = await desk.open()
    await desk.sign_in(tab)
    desk.desk.end_tokens()
    item = await desk.add(tab)
    desk.desk.inner.faults = [lose_answer]
    await tab.queue.sync()
    desk.store = desk.store.durable_copy()
    desk.wire = Wire(desk.store, [desk.desk])
    desk.tabs = LocalTabs()
    again = await desk.open()
    desk.desk.end_tokens()
    await desk.settle(again)
    assert (await again.queue.get(item)).state is State.COMPLETED
    assert "reuse" not in desk.desk.said
    assert desk.desk.said.count("refresh") == 2


async def test_a_refused_refresh_signs_out_and_loses_nothing(desk: Desk) -> None:
    tab = await desk.open()
    await desk.sign_in(tab)
    desk.desk.end_tokens()
    desk.desk.refuses = True
    item = await desk.add(tab)
    await desk.settle(tab)
    waiting = await tab.queue.get(item)
    assert waiting.state is State.PENDING
    (told,) = await tab.accounts.all()
    assert not told["signed_in"]
    assert "expired" in told["why"]
    assert desk.desk.said.count("refused") == 1
    await desk.sign_in(tab)
    await desk.settle(tab)
    assert (await tab.queue.get(item)).state is State.COMPLETED
    assert len(desk.desk.inner.with_op(item)) == 1


async def test_while_nobody_gives_out_tokens_it_stays_signed_in(desk: Desk) -> None:
    tab = await desk.open()
    await desk.sign_in(tab)
    desk.desk.end_tokens()
    desk.wire.down = (f"{desk.desk.base}/token",)
    item = await desk.add(tab)
    await desk.settle(tab)
    waiting = await tab.queue.get(item)
    assert waiting.state is State.PENDING  # turned away at the door: not in doubt
    assert (await tab.accounts.all())[0]["signed_in"]
    desk.wire.down = ()
    await desk.settle(tab)
    assert (await tab.queue.get(item)).state is State.COMPLETED


async def test_a_sign_in_server_that_asks_to_wait_is_left_alone(desk: Desk) -> None:
    tab = await desk.open()
    await desk.sign_in(tab)
    await desk.settle(tab, 1)
    desk.desk.end_tokens()
    desk.wire.busy = (f"{desk.desk.base}/token",)
    item = await desk.add(tab)
    await desk.settle(tab, 9)
    assert (await tab.queue.get(item)).state is State.PENDING
    assert desk.wire.turned_away == 1
    desk.wire.busy = ()
    await desk.settle(tab)
    assert (await tab.queue.get(item)).state is State.COMPLETED


async def test_another_account_may_not_take_what_waits_for_the_former(desk: Desk) -> None:
    tab = await desk.open()
    await desk.sign_in(tab, "anna")
    await tab.accounts.sign_out(desk.one.name)
    assert "revoke" in desk.desk.said
    item = await desk.add(tab)
    with pytest.raises(OtherAccount, match=r"(?i)1 item for .* anna"):
        await desk.sign_in(tab, "bert")
    assert not (await tab.accounts.all())[0]["signed_in"]
    assert all(family.revoked for family in desk.desk.families)
    await desk.settle(tab)
    assert desk.sent() == []
    await desk.sign_in(tab, "anna")
    await desk.settle(tab)
    assert desk.desk.by == {item: "anna"}


async def test_what_the_former_account_gave_up_is_not_sent_when_it_is_brought_back(
    desk: Desk,
) -> None:
    tab, other = await desk.open(), await desk.open()
    await desk.sign_in(tab, "anna")
    await tab.accounts.sign_out(desk.one.name)
    hers = await desk.add(tab)
    await tab.queue.cancel(hers)
    await desk.sign_in(tab, "bert")
    his = await desk.add(tab)
    await tab.queue.restore(hers)
    await desk.settle(other)  # a context that was there before the account changed
    assert (await tab.queue.get(his)).state is State.COMPLETED
    kept = await tab.queue.get(hers)
    assert kept.state is State.FAILED
    answer = (await tab.queue.list("attention"))["rows"][0]["answer"]
    assert "somebody else was signed in" in answer["fields"]["account"]
    assert desk.desk.by == {his: "bert"}


async def test_a_capture_not_yet_a_row_counts_as_the_former_accounts(desk: Desk) -> None:
    tab = await desk.open()
    await desk.sign_in(tab, "anna")
    data = {"kind": "ticket", "payload": TICKET, "destination": desk.one.name}
    item = desk.entropy.uuid7(desk.clock.now())
    await desk.store.capture(Capture(item, desk.clock.now(), json.dumps(data).encode()))
    with pytest.raises(OtherAccount):
        await desk.sign_in(tab, "bert")


async def test_what_can_go_wrong_on_the_way_back(desk: Desk) -> None:
    tab = await desk.open()
    begin = tab.accounts.begin
    url = (await begin(desk.one.name, HOME))["url"]
    with pytest.raises(SignInFailed, match=r"did not let you in \(end-user denied\)"):
        await tab.accounts.finish(desk.answer(url, ""))
    url = (await begin(desk.one.name, HOME))["url"]
    answer = desk.answer(url, "anna")
    with pytest.raises(SignInFailed, match="not begun on this device"):
        await tab.accounts.finish({**answer, "state": "somebody else's"})
    desk.wire.down = (f"{desk.desk.base}/token",)
    with pytest.raises(SignInFailed, match="did not answer"):
        await tab.accounts.finish(answer)
    desk.wire.down = ()
    with pytest.raises(SignInFailed, match="not begun on this device"):  # once is once
        await tab.accounts.finish(answer)
    url = (await begin(desk.one.name, HOME))["url"]
    answer = desk.answer(url, "anna")
    with pytest.raises(SignInFailed, match="did not take the sign-in"):
        await tab.accounts.finish({**answer, "code": "guessed"})
    url = (await begin(desk.one.name, HOME))["url"]
    answer = desk.answer(url, "anna")
    desk.clock.advance(BEGUN_MS_MAX)
    with pytest.raises(SignInFailed, match="took too long"):
        await tab.accounts.finish(answer)
    with pytest.raises(ItemNotFound):
        await tab.accounts.begin("nowhere", HOME)
    assert "exchange" not in desk.desk.said


async def test_a_code_of_a_sign_in_begun_elsewhere_does_not_fit_ours(desk: Desk) -> None:
    """Somebody has this browser finish a sign-in of his own, to be given its items."""
    tab = await desk.open()
    await tab.accounts.begin(desk.one.name, HOME)
    his = Desk(desk.desk, desk.one, entropy=SeededEntropy(7))
    url = (await (await his.open()).accounts.begin(desk.one.name, HOME))["url"]
    with pytest.raises(SignInFailed):
        await tab.accounts.finish(his.answer(url, "bert"))
    assert not (await tab.accounts.all())[0]["signed_in"]


async def test_no_secret_comes_back_into_a_row(desk: Desk) -> None:
    tab = await desk.open()
    await desk.sign_in(tab)
    access = (await tab.account.headers(Request("GET", "")))["Authorization"].split()[1]
    body = json.dumps({"message": f"you sent {access}"}).encode()
    desk.desk.inner.faults = [says(500, body, content_type="application/json")]
    credential: dict[str, Any] = {desk.one.name: tab.account}
    transport = CredentialTransport(desk.wire, credential)
    asked = Request("POST", desk.desk.url + "/x", credential=desk.one.name)
    response = await transport.send(asked)
    assert HIDDEN.encode() in response.body
    assert access.encode() not in response.body
    assert access not in repr(vars(desk.store._state))  # sealed, as all of it


async def test_another_lane_takes_it_under_its_own_destination(desk: Desk) -> None:
    tab = await desk.open()
    item = await desk.add(tab)
    await tab.queue.redirect([item], "gateway")
    assert (await tab.queue.get(item)).handed_to is None
    await tab.queue.redirect([item], desk.one.name)
    assert (await tab.queue.get(item)).handed_to == desk.one.name


async def test_a_page_signs_in_over_the_bridge() -> None:
    desk = salesforce()
    tab = await desk.open()
    bridge = Bridge(tab.queue, lambda _online: None, accounts=tab.accounts)

    async def call(method: str, **args: Any) -> Any:
        return json.loads(await bridge.call(method, json.dumps(args)))

    assert (await call("accounts"))["ok"][0]["signed_in"] is False
    begun = await call("sign_in_at", name="cases", redirect_uri=HOME)
    answer = desk.answer(begun["ok"]["url"], "anna")
    assert (await call("signed_in", answer=answer))["ok"]["as"] == "Anna"
    refused = await call("signed_in", answer=answer)
    assert refused["error"]["code"] == "QUEUE_SIGN_IN_FAILED"
    assert (await call("sign_out", name="cases"))["ok"]["signed_in"] is False


async def test_an_adapter_says_nothing_of_its_own_of_an_account() -> None:
    account = (await salesforce().open()).account
    account._after = 5
    own = Own(Adapter("cases"), account)
    item = await (await salesforce().open()).queue.enqueue("ticket", TICKET)
    with pytest.raises(InvalidItem):
        own.intent(item.changed(sequence=5), b"{}", [])
    assert own.intent(item.changed(sequence=6), b"{}", []) == b"{}"
