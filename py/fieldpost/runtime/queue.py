"""The public queue: what programs and the app call. Every host returns one of these from
``open``."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fieldpost.destinations.base import Destination, Discovered
from fieldpost.engine.breaker import RulesLike
from fieldpost.engine.config import QueueConfig
from fieldpost.engine.errors import DatabaseError, ItemNotFound
from fieldpost.engine.kinds import Kinds, standard_kinds
from fieldpost.engine.limits import STEAL_AFTER_MS
from fieldpost.engine.model import Item, Stored
from fieldpost.engine.retry import PolicyLike, policy_of
from fieldpost.security.journal import Verifier

from . import views
from .acts import Acts
from .adopt import Intake
from .attaching import keep
from .byhand import ByHand
from .catalogue import ASKED_EVERY_MS, discovered, known, refresh
from .committer import Change, Committer
from .controls import Controls
from .device import TOKEN
from .driver import Driver, Host
from .loop import SyncLoop
from .overview import Overview
from .rescue import Rescue, RescueBox
from .routes import Lane, Routes
from .upkeep import BARE, Upkeep

_JOURNAL_PAGE = 500
_ROWS_MAX = 200


class Queue(ByHand, Controls, Upkeep):
    """An offline sync queue: `enqueue` saves durably, delivery happens by itself, once in effect.

    Use ``async with``, or `start` and `close`. All times are ms since the epoch, UTC.
    """

    def __init__(
        self,
        host: Host,
        destination: Destination | Sequence[Lane],
        *,
        owner: str,
        policy: PolicyLike = "itsm",
        kinds: Kinds | None = None,
        rescue_box: RescueBox | None = None,
        on_close: Callable[[], Awaitable[None]] | None = None,
        steal_after_ms: int = STEAL_AFTER_MS,
        config: QueueConfig = BARE,
        breaker: RulesLike = None,
    ):
        self._on_close = on_close
        self._host = host
        lanes = destination if isinstance(destination, Sequence) else [Lane(destination)]
        self.routes = Routes([replace(x, breaker=x.breaker or breaker) for x in lanes])
        self._destination = self.routes.home.destination
        self.kinds = kinds or standard_kinds()
        self._committer = Committer(host.store, host.clock, host.entropy, owner)
        retry, slots = policy_of(policy), asyncio.Semaphore(config.requests)
        self._drivers = {
            x.lane: Driver(host, self._committer, x, owner, retry, slots, steal_after_ms)
            for x in self.routes
        }
        for lane in self.routes:
            driver = self._drivers[lane.lane]
            driver.droppable = self.kinds.droppable
            driver.alone = len(self.routes) == 1
            driver.signs_in = lane.destination is self._destination
            driver.open_items = partial(self.routes.open_items, lane.lane)
            driver.failover = self.routes.named(lane.failover)
            driver.moved = lambda: self._changed(ask_now=False)
        self._driver = self._drivers[self.routes.home.lane]
        self._intake = Intake(
            host.store,
            self._committer,
            host.clock,
            host.entropy,
            self.kinds,
            self.routes,
            config.limits,
            config.duplicates,
        )
        self._loop = SyncLoop(
            list(self._drivers.values()),
            self._intake,
            {
                self.routes.home.lane: self.refresh_catalogue,
                **{lane.lane: partial(self.discovered, lane.lane) for lane in self.routes.titled},
            },
            self.tidy,
            config.sync_every_ms,
        )
        titles = {lane.lane: lane.title for lane in self.routes.titled}
        self._overview = Overview(host, self._drivers, self._loop, config.limits, titles)
        self._keep_up(config)
        self._announced = 0
        self.acts = Acts(
            host.store, self._committer, host.clock, host.entropy, self.kinds, self._intake
        )
        self._rescue = Rescue(host.store, self._intake, host.clock, rescue_box)

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to sync in the background."""
        self._logs.attach()
        await self._pauses()
        for lane in self.routes:  # before anything of theirs is taken up again
            await self.discovered(lane.lane, None)
        self._loop.start()

    async def close(self) -> None:
        """Stop syncing and close the storage; nothing is lost by not calling it."""
        await self._loop.stop()
        await self._logs.detach()
        await self._host.store.close()
        if self._on_close is not None:
            await self._on_close()

    async def __aenter__(self) -> Queue:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # --- coming in -------------------------------------------------------------------------------

    async def enqueue(self, kind: str, payload: Mapping[str, Any], **options: Any) -> Item:
        """Save one item durably and return it; it is sent when it can be.

        Options: ``id`` (UUID; the same id again returns the existing item), ``operation``,
        ``priority`` (1-10), ``title``, ``owner``, ``unique_key``, ``not_before``, ``expires_at``,
        ``attachments`` (as `attach` returned them), ``entity`` (items of one entity are sent one
        after the other, in the order of their coming), ``depends_on`` (ids that must be sent
        first; ``{"$ref": id}`` in the payload becomes what the destination called that one),
        ``on_parent_failed`` ("block", or "cancel" together with a parent that is given up),
        ``lane`` (another one than its kind takes), ``destination`` (behind the gateway, by its name
        in the catalogue; its own inbox where nothing is said). Raises `InvalidItem`,
        `DuplicateItem`, `QueueFull`, `DatabaseError`.

        After `DatabaseError` nothing pretends to be saved and nothing is kept in memory: the caller
        still has the payload. Give the ``id`` yourself, and call again with the same one when the
        storage works: a write that had landed after all is then found, not doubled.
        """
        item_id = options.pop("id", None)
        write = self._intake.write({"kind": kind, "payload": payload, **options}, id=item_id)
        item = await self._intake.enqueue(write)
        self._changed()
        return item

    async def attach(
        self, name: str, data: bytes | Iterable[bytes], media_type: str = ""
    ) -> dict[str, Any]:
        """Keep a file that is to go with an item, sealed and durable, and return what `enqueue`
        takes in ``attachments``: ``{"id", "size", "parts"}``. ``data``: its bytes, or an iterator
        over them where it is large; ``name``: 1 to 255 characters. One that no item ever names is
        removed after a day. Raises `InvalidItem`, `AttachmentTooLarge`, `DatabaseError`.
        """
        host = self._host
        return await keep(host.store, host.clock, host.entropy, name, data, media_type)

    async def enqueue_many(
        self, kind: str, payloads: Iterable[Mapping[str, Any]], **options: Any
    ) -> list[Item]:
        """Save many in one commit, all or none. Raises as `enqueue`; only records of calls and
        messages are looked at for doubles, and saved each for itself. ``options``: those of
        `enqueue` that several can share."""
        writes = [self._intake.write({**options, "kind": kind, "payload": p}) for p in payloads]
        items = await self._intake.enqueue_many(writes)
        self._changed()
        return items

    # --- looking ---------------------------------------------------------------------------------

    async def get(self, item_id: str) -> Item:
        """The item's columns. Raises `ItemNotFound`."""
        return (await self._stored(item_id)).item

    async def list(
        self, view: str = "waiting", *, cursor: int | None = None, limit: int = 50
    ) -> dict[str, Any]:
        """``{"rows": [...], "next": cursor or None, "counts": {state: n}}``, newest first;
        ``view``: waiting, attention, sent, ended. Of those that may have arrived, which wait as
        well, "attention" begins with the newest that only a person can settle."""
        states, parts = views.VIEWS[view], views.PARTS.get(view, ("head",))
        first = view == "attention" and cursor is None
        unsettled = await self._overview.unsettled(*parts) if first else []
        page = await self._host.store.page(
            states,
            limit=max(1, min(limit, _ROWS_MAX)),
            cursor=cursor,
            newest_first=True,
            parts=parts,
        )
        # The queue's own logs are nobody's work: `logs` has them.
        shown = [stored for stored in page.rows if stored.item.kind != "log"]
        counters = await self._host.store.counters()
        rows = await self._overview.rows([*unsettled, *shown])
        counts = {str(s): counters.get(f"state:{s}", 0) for s in states}
        return {"rows": rows, "next": page.next, "counts": counts}

    async def detail(self, item_id: str) -> dict[str, Any]:
        """One row with payload, attachments and the timeline of attempts. Raises `ItemNotFound`."""
        return await self._overview.detail(await self._stored(item_id, ("head", "body", "history")))

    async def status(self) -> dict[str, Any]:
        """Counts, connection, progress: one read of counters and one of each lane, O(1).

        ``connection`` and ``lane`` are the first lane's, ``paused`` is of all; ``lanes`` has each.
        """
        return await self._overview.status()

    async def find(self, mark: str, value: str) -> Sequence[str]:
        """Ids of items whose ``natural_key`` or ``owner`` is ``value``, oldest first."""
        return await self._host.store.find(mark, value)

    # --- acting ----------------------------------------------------------------------------------

    async def sync(self) -> dict[str, Any]:
        """Deliver what can be delivered now and return the `status` afterwards."""
        await self._loop.turn(by_hand=True)
        return await self.status()

    def nudge(self, *, ask_now: bool = False) -> None:
        """Something may have changed: adopt captures and sync soon."""
        self._loop.nudge(ask_now=ask_now)

    def sync_soon(self) -> None:
        """As `sync`, without waiting for it."""
        self._loop.nudge(by_hand=True)

    async def sign_in(self, token: str) -> None:
        """Keep and use this device's token, as ``python -m gateway pair`` printed it."""
        await self._committer.commit(Change(side={TOKEN: json.dumps(token)}, note="sign_in"))
        self._destination.sign_in(token)
        self._changed(ask_now=True)

    # --- the server's catalogue ------------------------------------------------------------------

    async def catalogue(self) -> dict[str, Any] | None:
        """Destinations, limits and required fields as last heard, also offline; None before
        that."""
        return await known(self._host.store, self.routes)

    async def refresh_catalogue(self) -> bool:
        """Ask the gateway for it; True when a new one was stored."""
        if not await refresh(self._host, self._destination, self._committer):
            return False
        self._announce()
        return True

    async def discovered(
        self, lane: str, every_ms: int | None = ASKED_EVERY_MS
    ) -> Discovered | None:
        """What a lane's destination says that it requires and offers, as last heard; it is asked
        when that is older than ``every_ms`` (None: it is not). None: it never said. Raises
        `InvalidItem` for a lane that is not there."""
        of = self.routes.named(lane)
        assert of is not None
        said = await discovered(self._host, of, self._committer, every_ms)
        self._announce()
        return said

    # --- safety ----------------------------------------------------------------------------------

    async def rescue_out(self, passphrase: str) -> dict[str, Any]:
        """Everything undelivered as one encrypted file: ``{"url", "name", "items"}``; it is enough
        that the storage can be read. Raises `DatabaseError` when it cannot, `OSError` when the file
        cannot be written."""
        with contextlib.suppress(DatabaseError):  # it takes no change: captures go as they are
            await self._intake.adopt()
        return await self._rescue.out(passphrase)

    async def rescue_in(self, passphrase: str, url: str) -> dict[str, int]:
        """Take a rescue file in: ``{"added", "known"}``. Raises `RescueUnreadable`."""
        result = await self._rescue.take_in(passphrase, url)
        self._changed()
        return result

    async def verify(self) -> dict[str, Any]:
        """Recompute the journal: ``{"records", "ok", "problems": [sentence]}``."""
        verifier, after = Verifier(), 0
        while records := await self._host.store.journal(after, _JOURNAL_PAGE):
            verifier.feed(records)
            after = records[-1][0]
        problems = verifier.finish(await self._host.store.counters())
        return {"records": after, "ok": not problems, "problems": problems}

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Be told of changes by any context: ``{"type": "changed", "revision": n}``."""
        return self._host.tabs.subscribe(callback)

    async def adopt(self) -> int:
        """Make rows of all captures now; how many."""
        return await self._intake.adopt()

    # --- for a host that owes others word of the ends --------------------------------------------

    def tell_ends(self) -> None:
        """From now on each row that ends leaves a note (`committer.ENDED`) in the same commit."""
        self._committer.tells_ends = True

    async def keep_notes(self, notes: dict[tuple[str, str], str | None]) -> None:
        """Write side records, (table, key) -> JSON text, sealed and durable; None removes one.
        (Notes of ends are removed when others have been told.)"""
        await self._committer.commit(Change(side=notes))

    # --- helpers ---------------------------------------------------------------------------------

    async def _stored(self, item_id: str, parts: Sequence[str] = ()) -> Stored:
        found = await self._host.store.get([item_id], parts)
        if not found:
            raise ItemNotFound
        return found[0]

    def _announce(self) -> None:
        # Changes that shared a commit have one revision, and need one message.
        if self._announced != self._committer.revision:
            self._announced = self._committer.revision
            self._host.tabs.announce(self._announced)

    def _changed(self, *, ask_now: bool = False) -> None:
        """Rows changed here: nothing new lies in the inbox, and what may not be sent wakes nobody
        (`resume` and the link do, when it may)."""
        self._announce()
        if ask_now or any(driver.may_claim for driver in self._drivers.values()):
            self._loop.nudge(ask_now=ask_now, adopt=False)
