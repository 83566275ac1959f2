"""What people at the gateway may ask of its queue: the calls, what each takes, and what it means
for the devices whose items these are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fieldpost.engine.errors import InvalidItem, QueueError
from fieldpost.runtime.bridge import Bridge
from fieldpost.runtime.queue import Queue
from fieldpost.runtime.views import VIEWS

from . import relayed
from .gateway import Gateway
from .relay import Relay
from .tables import Tx

#: What is wrong with a value, "" for nothing.
Check = Callable[[Any], str]


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and len(value) <= 10_000 else "must be text"


def _maybe_text(value: Any) -> str:
    return "" if value is None else _text(value)


def _texts(value: Any) -> str:
    fine = isinstance(value, list) and not any(map(_text, value))
    return "" if fine else "must be a list of texts"


def _whole(value: Any) -> str:
    return "" if type(value) is int and abs(value) < 2**62 else "must be a whole number"


def _maybe_whole(value: Any) -> str:
    return "" if value is None else _whole(value)


def _view(value: Any) -> str:
    return "" if isinstance(value, str) and value in VIEWS else f"must be one of {', '.join(VIEWS)}"


def _anything(value: Any) -> str:  # noqa: ARG001 - the queue checks its settings itself
    return ""


@dataclass(frozen=True, slots=True)
class Method:
    """``takes``: argument -> its check; all but ``needs`` may be left out."""

    takes: Mapping[str, Check] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def check(self, args: Mapping[str, Any]) -> None:
        """Raises `InvalidItem` with what is wrong by argument."""
        wrong = {name: "is not known" for name in args if name not in self.takes}
        wrong |= {name: "is missing" for name in self.needs if name not in args}
        wrong |= {
            name: why
            for name, check in self.takes.items()
            if name in args and (why := check(args[name]))
        }
        if wrong:
            raise InvalidItem(fields=wrong)


_ONE = Method({"id": _text, "reason": _text}, ("id",))
_MANY = Method({"ids": _texts, "reason": _text}, ("ids",))
#: The settings that mean something at a gateway; the rest is of devices, or the gateway's own.
SETTINGS = (
    *("strategy", "max_wait_minutes", "sync", "batch_items", "batch_seconds"),
    *("at_times", "every_minutes", "paused"),
)
LOOKS: dict[str, Method] = {
    "ping": Method(),
    "status": Method(),
    "list": Method({"view": _view, "cursor": _maybe_whole, "limit": _whole}),
    "attention": Method(),
    "detail": Method({"id": _text}, ("id",)),
    "history": Method({"limit": _whole}),
    "settings": Method(),
}
#: Not among them: `edit` and `redirect`, which would make of an item another one than the device
#: knows; what brings items in; and what belongs to a device (rescue files, its token).
ACTS: dict[str, Method] = {
    "sync": Method(),
    "pause": Method({"reason": _text, "lane": _maybe_text}),
    "resume": Method({"lane": _maybe_text}),
    "breaker": Method({"action": _text, "lane": _maybe_text}, ("action",)),
    "configure": Method(dict.fromkeys(SETTINGS[:-1], _anything)),
    # It reads the whole journal.
    "verify": Method(),
    **dict.fromkeys(("cancel", "retry", "discard", "restore", "arrived", "send_again"), _ONE),
    **dict.fromkeys(("cancel_many", "retry_many", "discard_many", "restore_many"), _MANY),
    "set_priority": Method({"ids": _texts, "priority": _whole}, ("ids", "priority")),
    "retry_all": Method({"kind": _maybe_text, "code": _maybe_text, "since": _maybe_whole}),
}
_RESTORE = ("restore", "restore_many")


class Superseded(QueueError):
    """The device has sent a later version of this item since. Look for that one; this one stays as
    it is, or it would arrive twice.
    """

    code = "SUPERSEDED"


class QueueByHand:
    """The calls of one person, called ``name`` ("": anybody on this computer)."""

    def __init__(
        self, gateway: Gateway, relay: Relay, queue: Queue, name: str, *, may_act: bool
    ) -> None:
        self._gateway = gateway
        self._relay = relay
        self._bridge = Bridge(queue, lambda _online: None)
        self._who = f"{name}, at the gateway" if name else "at the gateway"
        self._may_act = may_act

    async def call(self, method: str, args: dict[str, Any]) -> Any:
        """As `Bridge.call`, but checked, and with the person's name in the reason. Raises
        `QueueError`."""
        (LOOKS.get(method) or ACTS[method]).check(args)
        if "reason" in ACTS.get(method, Method()).takes:
            # The item's sealed history has it, as it has the acts of people at the device.
            reason = str(args.get("reason") or "").strip()
            args = {**args, "reason": f"{reason} ({self._who})" if reason else self._who}
        if method in _RESTORE:
            return await self._restore(method, args)
        return await self._told(method, args)

    async def _restore(self, method: str, args: dict[str, Any]) -> Any:
        """Not of what the device has sent anew meanwhile. Nothing comes in while that is looked at:
        a later version would find this one given up, and go beside it."""
        done: list[Any] = []
        ids = [args["id"]] if method == "restore" else list(dict.fromkeys(args["ids"]))

        async def work() -> None:
            later = await self._gateway.database.read(lambda tx: _superseded(tx, ids))
            if method == "restore":
                if later:
                    raise Superseded
                done.append(await self._told(method, args))
                return
            left = [id_ for id_ in ids if id_ not in later]
            told = await self._told(method, {**args, "ids": left})
            told["left"] |= {id_: Superseded().as_dict() for id_ in later}
            done.append(told)

        if not await self._relay.while_nothing_comes_in(work):
            raise InvalidItem("The gateway is taking things in just now. Try again.")
        return done[0]

    async def _told(self, method: str, args: dict[str, Any]) -> Any:
        answer = json.loads(await self._bridge.call(method, json.dumps(args)))
        if "error" in answer:
            raise _Told(answer["error"])
        told = answer["ok"]
        if method == "list":
            told["rows"] = [self._row(row) for row in told["rows"]]
        elif method in ("settings", "configure"):
            offered = SETTINGS if self._may_act else ("paused",)
            told = {name: told[name] for name in offered}
        elif "id" in LOOKS.get(method, ACTS.get(method, Method())).takes:
            told = self._row(told)
            told["from"] = await self._sender(told["id"])
        return told

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        """As the app's screens take it: where it goes, and what may be done here."""
        may = [name for name in row["can"] if name in ACTS and self._may_act]
        # Its files are not in this browser.
        return {**row, "destination": row["lane"], "can": may, "export": False}

    async def _sender(self, item_id: str) -> str:
        """What people call the device that it came of; "" where that is not known."""
        device = await self._gateway.database.read(lambda tx: _sender(tx, item_id))
        names = {each.id: each.name for each in self._gateway.devices.all()}
        return names.get(device.partition("/")[0], "")


class _Told(QueueError):
    """The queue said no. It says itself what to do."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["message"], fields=error["fields"])
        self.code, self.todo = error["code"], error["todo"]


def _superseded(tx: Tx, ids: Sequence[str]) -> list[str]:
    return [id_ for id_ in ids if relayed.has_later(tx, id_)]


def _sender(tx: Tx, item_id: str) -> str:
    found = relayed.entry_of(tx, item_id)
    row = None if found is None else tx.row(found[0])
    return "" if row is None else row.device
