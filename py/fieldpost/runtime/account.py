"""Whom this device is signed in as, at one destination that it delivers to by itself.

What is kept is sealed and shared by all contexts, as every side record: the account, its tokens,
and a sign-in under way. Nothing of it is in a row. An account's items go out under that account
only: another one may sign in when none of the former's is left to be sent, and what was given up
before (and could be restored) is then refused by its place in the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fieldpost.destinations import oauth
from fieldpost.destinations.oauth import Provider, Tokens, Unanswered
from fieldpost.engine.errors import InvalidItem, OtherAccount, SignInFailed
from fieldpost.engine.limits import LOCK_WAIT_MS, STEAL_AFTER_MS
from fieldpost.engine.model import Item
from fieldpost.engine.transitions import OPEN_STATES
from fieldpost.ports import (
    Clock,
    Commit,
    Entropy,
    Leadership,
    NoAnswer,
    Request,
    Store,
    Tabs,
    Transport,
)

from .credentials import NotSignedIn
from .views import NEED_A_PERSON

#: Side records by destination: who is signed in; and a sign-in that was begun.
ACCOUNT, BEGUN = "account", "sign_in"
#: A sign-in that took longer is begun anew; servers give their codes 5 to 15 minutes.
BEGUN_MS_MAX = 15 * 60_000
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Signed:
    """``account``: who signed in last, also after a sign-out, "" for nobody ever; ``tokens``: None
    while signed out; ``after``: only items behind this place of the queue are the account's;
    ``why``: what ended the sign-in, for people."""

    account: str = ""
    name: str = ""
    after: int = 0
    tokens: Tokens | None = None
    why: str = ""

    @classmethod
    def load(cls, text: str | None) -> Signed:
        told = json.loads(text or "{}")
        tokens = told.pop("tokens", None)
        return cls(**told, tokens=Tokens(**tokens) if tokens else None)


@dataclass(frozen=True, slots=True)
class Ports:
    """What accounts work with. ``transport``: without credentials."""

    store: Store
    transport: Transport
    clock: Clock
    entropy: Entropy
    tabs: Tabs


class Account:
    """One destination's; a `credentials.Credential`. ``name``: of its lane; ``title``: for people.

    ``adopt``: makes rows of all captures, so that none is overlooked when accounts change.
    """

    def __init__(self, name: str, title: str, provider: Provider, ports: Ports):
        self.name = name
        self.title = title
        self.adopt: Callable[[], Awaitable[object]] | None = None
        self._provider = provider
        self._ports = ports
        #: As last read; other contexts change it too.
        self._known = Signed()
        #: The place in the queue behind which items are looked at as this account's.
        self._after = 0
        self._one = asyncio.Lock()

    # --- as a credential -------------------------------------------------------------------------

    async def headers(self, request: Request) -> Mapping[str, str]:
        signed = await self._read()
        before, self._after = self._after, signed.after
        if signed.after != before and request.method != "GET":
            # The account changed after this request was made, perhaps of an item that is not the
            # new one's: that is looked at again (`demand`).
            raise NoAnswer("network", sent=False)
        if signed.tokens is None:
            raise NotSignedIn(f"You are not signed in to {self.title}.")
        ends = signed.tokens.early_at
        if ends is not None and self._ports.clock.now() >= ends and signed.tokens.refresh:
            await self._renew(signed.tokens.access)
            if self._known.tokens is None:
                raise NotSignedIn(f"{self.title} has ended the sign-in.")
        assert self._known.tokens is not None
        return {"Authorization": f"Bearer {self._known.tokens.access}"}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        await self._renew(refused.get("Authorization", "").removeprefix("Bearer "))
        return self._known.tokens is not None

    def secrets(self) -> Sequence[str]:
        tokens = self._known.tokens
        return [tokens.access, tokens.refresh] if tokens else []

    async def _renew(self, stale: str) -> None:
        """Tokens that are not ``stale`` any more, or none. One context renews at a time, as a
        refresh token that is used twice ends the whole sign-in (RFC 9700 section 4.14.2); the
        others take what that one got. Raises `NoAnswer`."""

        async def work(leadership: Leadership) -> None:
            signed = await self._read()
            if signed.tokens is not None and signed.tokens.access == stale:
                await self._refresh(signed, signed.tokens, leadership)

        tabs, lock = self._ports.tabs, f"SIGN-IN:{self.name}"
        async with self._one:
            while (tokens := (await self._read()).tokens) is not None and tokens.access == stale:
                await tabs.lead(
                    work, lane=lock, wait_ms=LOCK_WAIT_MS, steal_after_ms=STEAL_AFTER_MS
                )

    async def _refresh(self, signed: Signed, tokens: Tokens, leadership: Leadership) -> None:
        """The new tokens are durable before anything is sent with them."""
        if not tokens.refresh:
            await self._keep(replace(signed, tokens=None, why="Its time was over."))
            return
        if leadership.lost:
            return
        request = oauth.refresh(self._provider, tokens.refresh)
        response = await self._ports.transport.send(request)
        try:
            fresh = oauth.read_tokens(response, self._ports.clock.now(), tokens)
        except Unanswered as failure:
            wait = failure.retry_after_ms
            raise NoAnswer("network", sent=False, retry_after_ms=wait) from failure
        except oauth.Refused as refused:
            await self._keep(replace(signed, tokens=None, why=str(refused)))
            return
        await self._keep(replace(signed, tokens=fresh))

    # --- signing in and out ----------------------------------------------------------------------

    async def begin(self, redirect_uri: str) -> str:
        """The address to send the person to; what has to be known on return is durable."""
        now = self._ports.clock.now()
        begun = {
            "state": self._random(),
            "verifier": self._random(),
            "redirect_uri": redirect_uri,
            "at": now,
        }
        await self._put(BEGUN, json.dumps(begun))
        return oauth.sign_in_url(
            self._provider, redirect_uri, str(begun["state"]), str(begun["verifier"])
        )

    async def begun(self) -> dict[str, Any] | None:
        """The sign-in under way, None where there is none that still counts."""
        text = await self._ports.store.side(BEGUN, self.name)
        begun: dict[str, Any] = json.loads(text) if text else {}
        age = self._ports.clock.now() - begun.get("at", 0)
        return {**begun, "dialect": self._provider.dialect} if 0 <= age < BEGUN_MS_MAX else None

    async def end_begun(self) -> None:
        """It is used once, whatever becomes of it."""
        await self._put(BEGUN, None)

    async def finish(self, code: str, begun: Mapping[str, Any]) -> None:
        """Raises `SignInFailed`, `OtherAccount`."""
        request = oauth.exchange(self._provider, code, begun["verifier"], begun["redirect_uri"])
        try:
            response = await self._ports.transport.send(request)
            tokens = oauth.read_tokens(response, self._ports.clock.now())
        except (NoAnswer, Unanswered) as failure:
            said = f"{self.title} did not answer, so the sign-in was not finished."
            raise SignInFailed(said) from failure
        except oauth.Refused as refused:
            said = f"{self.title} did not take the sign-in: {refused}."
            raise SignInFailed(said.replace("..", ".")) from refused
        if not tokens.account:
            said = f"{self.title} does not say who signed in. Its administrator has to let it."
            raise SignInFailed(said)
        try:
            await self._take(tokens)
        except OtherAccount:
            await self._revoke(tokens)
            raise

    async def _take(self, tokens: Tokens) -> None:
        if self.adopt is not None:
            await self.adopt()
        former = await self._read()
        after = former.after
        if former.account and former.account != tokens.account:
            if count := await self.waiting():
                items = "1 item" if count == 1 else f"{count} items"
                raise OtherAccount(
                    f"{items} for {self.title} {'was' if count == 1 else 'were'} saved by "
                    f"{former.name or 'somebody else'} and not sent yet, so {tokens.name} was not "
                    "signed in."
                )
            after = (await self._ports.store.counters()).get("sequence", 0)
        await self._keep(Signed(tokens.account, tokens.name, after, tokens))

    async def sign_out(self) -> None:
        """Forget the tokens; told to the server as well where it can be."""
        signed = await self._read()
        if signed.tokens is not None:
            await self._keep(replace(signed, tokens=None, why=""))
            await self._revoke(signed.tokens)

    async def load(self) -> None:
        """Before the first request."""
        self._after = (await self._read()).after

    async def told(self) -> dict[str, Any]:
        """For a screen."""
        signed = await self._read()
        return {
            "name": self.name,
            "title": self.title,
            "signed_in": signed.tokens is not None,
            "as": signed.name,
            "why": signed.why,
        }

    # --- whose an item is ------------------------------------------------------------------------

    def demand(self, item: Item) -> None:
        """Raises `InvalidItem` for an item of the account before this one."""
        if item.sequence <= self._after:
            said = f"is not yours: it was saved while somebody else was signed in to {self.title}"
            raise InvalidItem(fields={"account": said})

    async def waiting(self) -> int:
        """Items of this lane that may yet be sent, also those that a person has to look at."""
        count, cursor = 0, None
        states = sorted(OPEN_STATES | NEED_A_PERSON)
        while True:
            page = await self._ports.store.page(states, limit=_PAGE, cursor=cursor)
            count += sum(row.item.lane == self.name for row in page.rows)
            if page.next is None:
                return count
            cursor = page.next

    # --- helpers ---------------------------------------------------------------------------------

    async def _read(self) -> Signed:
        self._known = Signed.load(await self._ports.store.side(ACCOUNT, self.name))
        return self._known

    async def _keep(self, signed: Signed) -> None:
        await self._put(ACCOUNT, json.dumps(asdict(signed)))
        self._known = signed

    async def _put(self, table: str, text: str | None) -> None:
        await self._ports.store.commit(Commit(side={(table, self.name): text}))

    async def _revoke(self, tokens: Tokens) -> None:
        request = oauth.revoke(self._provider, tokens)
        if request is not None:
            with contextlib.suppress(NoAnswer):  # they end by themselves, and nobody here has them
                await self._ports.transport.send(request)

    def _random(self) -> str:
        """43 characters (RFC 7636 section 4.1) of 256 bits out of 296 random ones."""
        entropy, now = self._ports.entropy, self._ports.clock.now()
        pool = "".join(entropy.uuid7(now) for _ in range(4))
        return oauth.challenge(pool)
