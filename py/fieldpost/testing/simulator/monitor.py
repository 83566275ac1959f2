"""The invariants of DESIGN section 3, looked at after every commit, request and effect.

Each check has a name (`INVARIANTS`), which a `Violation` carries. To add one: write a method that
calls `violated` and name it in the table; call it from the hook where it can first be seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

from fieldpost.engine.model import Capture, Item, item_to_columns
from fieldpost.engine.transitions import OPEN_STATES, TRANSITIONS, State
from fieldpost.ports import Commit, Committed, Request
from fieldpost.security.journal import Verifier

from .bulkheads import Bulkheads
from .disk import Disk
from .loop import Place, now
from .order import Order
from .sites import Site
from .tabs import Locks
from .wishes import Expected

#: Name -> what must hold.
INVARIANTS = {
    "conservation": "what was saved is in exactly one place and state; counters equal the rows",
    "saved-durable": "what was acknowledged as saved is durable at that moment",
    "intent-first": "bytes that leave are those of a durable intent, of a row that is in progress",
    "one-key": "one send_id has one content, and an item keeps its send_id while it may be known",
    "one-effect": "an item takes effect at the gateway at most once",
    "fence": "no write with an old revision lands",
    "lease": "nobody takes a row from a drainer that is alive and holds its lane's lock",
    "route": "an item takes the lane of its kind, or the one asked for, and goes there only",
    "requests": "no more requests are under way than a lane, and the queue, may have",
    "one-attempt": "an item is never under way twice at once",
    "acknowledged": "a ledger is told to forget only what has its end durably here",
    "own-credential": "a destination is shown no credential but its own",
    "bulkhead": "while one destination is away the other's items do not wait for it",
    "entity-order": "of one entity, items leave and take effect in the order of their coming",
    "one-under-way": "of one entity, the destination never has two whose end is not known",
    "parents-known": "no item is refused because of a parent that was saved and is here",
    "parents-first": "no item leaves or arrives before all its parents are completed",
    "parent-name": "what arrives is what somebody wrote, with the real names of its parents in it",
    "parent-gone": "with a parent that is given up a child goes or waits, as it was told to",
    "freed": "an item that nothing holds is not blocked",
    "dates": "no item is sent before its date, or begun after it expired",
    "sealed": "no content stands in clear in what is stored",
    "journal": "the journal's chains are whole, its numbers gapless, its fold equals the counters",
    "transitions": "every change of state is in the transition table",
    "proved": "delivered here means in the gateway's ledger, whole, there",
    "tries": "an item is tried about as often as its policy allows, until a person revives it",
    "no-crash": "no task of the product ends with an error that it does not know",
    "liveness": "when the faults end, everything gets to its end within a bounded time",
    "verdict": "what ended, ended rightly: delivered once, refused, or taken back by a person",
}

_ENDS_BY_GATEWAY = (State.COMPLETED, State.HANDED_OVER)


class Violated(Protocol):
    def __call__(self, invariant: str, text: str) -> NoReturn: ...


class Monitor:
    def __init__(
        self,
        disk: Disk,
        sites: Mapping[str, Site],
        requests: int,
        locks: Locks,
        marker: str,
        expected: Expected,
        violated: Violated,
        told: Callable[[Place, str, str], None],
        latest: Callable[[], int],
        attempts_max: int = 5,
    ) -> None:
        self.disk = disk
        self._sites = sites  # by lane
        self.locks = locks
        self.marker = marker.encode()
        self._violated = violated
        self._told = told
        #: Ids whose saving was begun (they may exist), and acknowledged (they must).
        self.begun: set[str] = set()
        self.saved: set[str] = set()
        #: Id -> the row as the last commit left it; one object for ever.
        self.rows: dict[str, Item] = {}
        self.order = Order(self.rows, expected, violated, latest)
        self.bulkheads = Bulkheads(sites, requests, locks, expected, violated)
        self.checks = 0
        #: Lane -> arrivals that were looked at.
        self._arrivals: Counter[str] = Counter()
        self._states: Counter[State] = Counter()
        self._verifier = Verifier()
        #: Id -> intents that were durable, and (send_id, intent) of what left.
        self._intents: dict[str, set[bytes]] = {}
        self._sent: dict[str, bytes] = {}
        self._before: dict[str, Item | None] = {}
        #: Id -> tries that were answered "later" since a person revived it. Some slack: what was
        #: the lane's fault burns none.
        self._tries: Counter[str] = Counter()
        self._tries_max = 4 * attempts_max + 10

    # --- hooks of the disk -----------------------------------------------------------------------

    def before_commit(self, commit: Commit) -> None:
        rows = self.disk.state.rows
        self._before = {}
        for put in commit.puts:
            row = rows.get(put.item.id)
            self._before[put.item.id] = row.item if row is not None else None

    def after_commit(self, place: Place, commit: Commit, done: Committed) -> None:
        self.checks += 1
        changes = []
        for put, item in zip(commit.puts, done.items, strict=True):
            old = self._before[item.id]
            self._changed(place, put.item.revision, old, item)
            self._before[item.id] = item
            changes.append((old, item))
        self.order.committed(changes)
        self.bulkheads.committed(changes, commit.side)
        for id_ in getattr(commit, "drop", ()):
            self._removed(id_)
        self._sealed([item.id for item in done.items])
        self._books()
        self._journal()

    def after_capture(self, capture: Capture) -> None:
        self.checks += 1
        sealed = self.disk.state.inbox.get(capture.id)
        if sealed is not None and self.marker in sealed[2]:
            self._violated("sealed", f"the inbox shows what {_short(capture.id)} holds")
        self._books()

    def reverted(self) -> None:
        """The device lost its power: the books go on from what is durable."""
        self.rows.clear()
        self.rows |= {id_: row.item for id_, row in self.disk.state.rows.items()}
        self.order.reverted()
        self.bulkheads.reverted(self.rows.values())
        self._states = Counter(item.state for item in self.rows.values())
        self._verifier = Verifier()
        self._books()
        self._journal()

    # --- hooks of the product's edges ------------------------------------------------------------

    def saving(self, item_id: str) -> None:
        self.begun.add(item_id)

    def acknowledged(self, item_id: str) -> None:
        """Somebody was told "Saved"."""
        self.saved.add(item_id)
        state = self.disk.state
        if item_id not in state.rows and item_id not in state.inbox:
            self._violated("saved-durable", f"{_short(item_id)} was called saved and is not there")

    def sending(self, place: Place, request: Request) -> None:
        """Bytes of this request are leaving."""
        self.checks += 1
        lane = self.bulkheads.lane_at(request)
        if request.method == "POST" and request.url.endswith("/operations"):
            body = json.loads(request.body)
            operations = body["operations"]
            self.bulkheads.acknowledging(lane, body["ack"])
            for operation in operations:
                self._leaves(place, lane, operation["id"], operation["send_id"], request.body)
                self._same_content(operation)
            self.bulkheads.leaving(place, lane, request, [o["id"] for o in operations])
        elif request.method == "PUT" and "/attachments/" in request.url:
            item_id = request.url.split("/operations/")[1].split("/")[0]
            self._leaves(place, lane, item_id, request.headers["Fieldpost-Send-Id"], None)
            self.bulkheads.leaving(place, lane, request, [item_id])

    def answered(self, request: Request) -> None:
        """Its sender waits for no answer any more."""
        self.bulkheads.answered(request)

    def effects(self) -> None:
        """The gateway may just have acted."""
        self.checks += 1
        for lane, site in self._sites.items():
            gateway = site.backend
            for item_id, count in gateway.effects.items():
                if count > 1:
                    self._violated("one-effect", f"{_short(item_id)} took effect {count} times")
            for arrival in gateway.arrivals[self._arrivals[lane] :]:
                self.bulkheads.arrived(lane, arrival.id, self.rows.get(arrival.id))
                self.order.arrived(arrival)
            self._arrivals[lane] = len(gateway.arrivals)

    def _removed(self, item_id: str) -> None:
        """Retention takes rows out for good; never one that is still to be delivered."""
        item = self.rows.get(item_id)
        if item is None or item_id in self.disk.state.rows:
            return
        if item.state in OPEN_STATES:
            self._violated("conservation", f"{_short(item_id)} was removed while {item.state}")
        self.saved.discard(item_id)
        self._states[item.state] -= 1
        del self.rows[item_id]
        self.order.removed(item)

    # --- one row's change ------------------------------------------------------------------------

    def _changed(self, place: Place, read_at: int, old: Item | None, new: Item) -> None:
        known = self.rows.get(new.id)
        name = _short(new.id)
        if old is None:
            if new.id not in self.begun:
                self._violated("conservation", f"{name} was never captured")
        else:
            assert known is not None
            if read_at != old.revision or new.revision != old.revision + 1:
                self._violated(
                    "fence", f"{name} is at revision {old.revision}; one read at {read_at} landed"
                )
            if new.state is not old.state and not _moves(old.state, new.state):
                self._violated("transitions", f"{name} went from {old.state} to {new.state}")
            if new.send_id != old.send_id and old.state in (State.UNKNOWN, State.IN_PROGRESS):
                self._violated("one-key", f"{name} got a new key while it was {old.state}")
            if new.send_id != old.send_id and new.state is State.IN_PROGRESS:
                self._violated("one-key", f"{name} got a new key by being sent")
            self._taken(place, old)
            self._tried(old, new)
            self._states[old.state] -= 1
        self._states[new.state] += 1
        self.rows[new.id] = new
        if new.state is State.IN_PROGRESS:
            self._intent(new)
        if new.state in _ENDS_BY_GATEWAY and not self._sites[new.lane].backend.has(new.id):
            self._violated("proved", f"{name} is {new.state}, and {new.lane} has not got it")
        before = "" if old is None else f"{old.state} -> "
        self._told(place, f"row {new.state}", f"{name} {before}{new.state} r{new.revision}")

    def _tried(self, old: Item, new: Item) -> None:
        if new.state is State.FAILED or old.state is State.FAILED:
            self._tries[new.id] = 0
        elif old.state is State.IN_PROGRESS and new.state is State.PENDING and new.due_at:
            self._tries[new.id] += 1
            if self._tries[new.id] > self._tries_max:
                self._violated("tries", f"{_short(new.id)} is tried for ever")

    def _taken(self, place: Place, old: Item) -> None:
        """Rows in progress are their drainer's, as long as it leads or waits for an answer."""
        lock = self.locks[old.lane]
        holder = lock.holder
        if old.state is not State.IN_PROGRESS or old.lease_owner == place.name:
            return
        if holder is not None and holder.place.name == old.lease_owner and not holder.place.dead:
            self._violated(
                "lease", f"{_short(old.id)} was taken from {old.lease_owner}, which leads"
            )
        sender = self.bulkheads.sender(old.lease_owner, old.id)
        if sender is not None and not sender.dead and sender.name not in lock.robbed:
            self._violated(
                "lease", f"{_short(old.id)} was taken from {sender.name}, which is sending it"
            )

    def _intent(self, item: Item) -> None:
        (stored,) = now(self.disk.memory.get([item.id], ("intent",)))
        self._intents.setdefault(item.id, set()).add(stored.parts.get("intent", b""))

    # --- what leaves -----------------------------------------------------------------------------

    def _leaves(
        self, place: Place, lane: str, item_id: str, send_id: str, body: bytes | None
    ) -> None:
        row, name = self.rows.get(item_id), _short(item_id)
        if row is None:
            self._violated("intent-first", f"{name} is sent and is not stored")
        if row.lane != lane:
            self._violated("route", f"{name} is of the lane {row.lane} and is sent to {lane}")
        if row.send_id != send_id:
            self._violated("one-key", f"{name} is sent with a key that its row has not")
        intents = self._intents.get(item_id, set())
        if body is not None and not any(intent and intent in body for intent in intents):
            self._violated("intent-first", f"{name} is sent and its bytes were never durable")
        leads = self.locks[lane].leads(place)
        if leads and (row.state is not State.IN_PROGRESS or row.lease_owner != place.name):
            self._violated("intent-first", f"{name} is sent while its row is {row.state}")
        if not intents:
            self._violated("intent-first", f"{name} is sent and was never claimed")
        if row.state is State.IN_PROGRESS and row.lease_owner == place.name:
            self.order.leaving(row)

    def _same_content(self, operation: dict[str, Any]) -> None:
        """Known failure 28: the same key with other bytes is refused, or worse, is not."""
        content = json.dumps(operation, sort_keys=True).encode()
        before = self._sent.setdefault(operation["send_id"], content)
        if before != content:
            self._violated("one-key", f"{_short(operation['id'])}: one key, two contents")

    # --- the books -------------------------------------------------------------------------------

    def _books(self) -> None:
        state = self.disk.state
        for item_id in self.saved - state.rows.keys() - state.inbox.keys():
            self._violated("conservation", f"{_short(item_id)} is in 0 places")
        for item_id in state.rows.keys() & state.inbox.keys() & self.saved:
            self._violated("conservation", f"{_short(item_id)} is in 2 places")
        counters = state.counters
        if sum(counters[f"state:{s}"] for s in State) != len(state.rows):
            self._violated("conservation", "the counters do not add up to the rows")
        for each in State:
            if counters[f"state:{each}"] != self._states[each]:
                self._violated("conservation", f"the counter of {each} is wrong")
        if counters["open"] != sum(self._states[s] for s in OPEN_STATES):
            self._violated("conservation", "the counter of open items is wrong")
        if counters["inbox"] != len(state.inbox):
            self._violated("conservation", "the counter of the inbox is wrong")

    def _journal(self) -> None:
        journal = self.disk.state.journal
        fresh = list(enumerate(journal[self._verifier.n :], self._verifier.n + 1))
        self._verifier.feed(fresh)
        problems = self._verifier.finish(self.disk.state.counters)
        if problems:
            self._violated("journal", problems[0])
        for _, record in fresh:
            if self.marker in record.text.encode():
                self._violated("sealed", "the journal shows content")

    def _sealed(self, ids: list[str]) -> None:
        for item_id in ids:
            row = self.disk.state.rows[item_id]
            shown = json.dumps(item_to_columns(row.item)).encode()
            if any(self.marker in data for data in (shown, *row.parts.values())):
                self._violated("sealed", f"the row of {_short(item_id)} shows content")


def _moves(old: State, new: State) -> bool:
    """By one move, or by two in one commit: what comes back may have to wait in its line."""
    held = new is State.BLOCKED and State.PENDING in TRANSITIONS[old].values()
    return held or new in TRANSITIONS[old].values()


def _short(item_id: str) -> str:
    return f"…{item_id[-4:]}"
