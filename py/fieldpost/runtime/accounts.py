"""The accounts of a device at the destinations that it delivers to by itself, for a screen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fieldpost.destinations.base import Destination
from fieldpost.engine.errors import ItemNotFound, SignInFailed
from fieldpost.engine.model import Item
from fieldpost.ports import Manifest

from .account import Account


class Own:
    """A destination that makes requests of its account's items only."""

    def __init__(self, inner: Destination, account: Account):
        self._inner = inner
        self._account = account

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:
        """Raises `InvalidItem` also for an item of another account."""
        self._account.demand(item)
        return self._inner.intent(item, body, manifests)


class Accounts:
    """All of a queue. ``changed`` is called when somebody signed in or out."""

    def __init__(self, accounts: Sequence[Account] = ()):
        self._by_name = {account.name: account for account in accounts}
        self.changed: Callable[[], None] = lambda: None

    def follow(self, adopt: Callable[[], Awaitable[object]], changed: Callable[[], None]) -> None:
        """See `Account.adopt`."""
        self.changed = changed
        for account in self._by_name.values():
            account.adopt = adopt

    async def all(self) -> list[dict[str, Any]]:
        """``[{name, title, signed_in, as, why}]``: ``as`` also of whoever signed out."""
        return [await account.told() for account in self._by_name.values()]

    async def begin(self, name: str, redirect_uri: str) -> dict[str, str]:
        """``{"url"}``: where the person signs in. Raises `ItemNotFound`."""
        return {"url": await self._named(name).begin(redirect_uri)}

    async def finish(self, answer: Mapping[str, str]) -> dict[str, Any]:
        """``answer``: the parameters of the address that the person came back to. As `all` of the
        one that it was about. Raises `SignInFailed`, `OtherAccount`."""
        for account, begun in await self._begun():
            if not _answers(answer, begun):
                continue
            await account.end_begun()
            if not answer.get("code"):
                why = answer.get("error_description") or answer.get("error") or "no reason given"
                said = f"{account.title} did not let you in ({why.replace('+', ' ')[:200]})."
                raise SignInFailed(said)
            await account.finish(answer["code"], begun)
            self.changed()
            return await account.told()
        raise SignInFailed("This sign-in was not begun on this device, or it took too long.")

    async def _begun(self) -> list[tuple[Account, dict[str, Any]]]:
        """The latest first."""
        asked = [(each, await each.begun()) for each in self._by_name.values()]
        found = [(each, begun) for each, begun in asked if begun is not None]
        return sorted(found, key=lambda one: -int(one[1]["at"]))

    async def sign_out(self, name: str) -> dict[str, Any]:
        """As `all` of this one, afterwards. Raises `ItemNotFound`."""
        account = self._named(name)
        await account.sign_out()
        self.changed()
        return await account.told()

    def _named(self, name: str) -> Account:
        account = self._by_name.get(name)
        if account is None:
            raise ItemNotFound(f"There is no destination {name!r} to sign in to here.")
        return account


def _answers(answer: Mapping[str, str], begun: Mapping[str, Any]) -> bool:
    """Whether the answer is to this sign-in: by its state; Supabase hands none back, and its code
    is bound to the verifier that only this device has."""
    if answer.get("state") or begun["dialect"] != "supabase":
        return bool(answer.get("state") == begun["state"])
    return True
