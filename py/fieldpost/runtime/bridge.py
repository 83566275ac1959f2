"""One function for a page to call: method and arguments as JSON text in, JSON text out.

What it offers is docs/interfaces.md, "The worker: one call".
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fieldpost._version import __version__
from fieldpost.engine.errors import InvalidItem, QueueError
from fieldpost.engine.power import Device, told

from .accounts import Accounts
from .acts import Done
from .queue import Queue

#: The queue's own methods that a page may call as they are.
_AS_THEY_ARE = (
    "status",
    "list",
    "attention",
    "pause",
    "resume",
    "catalogue",
    "rescue_out",
    "rescue_in",
    "verify",
    "sign_in",
    "settings",
    "configure",
    "history",
    "breaker",
)
#: Acts on one item, answered with its detail afterwards.
_ACTS = ("cancel", "edit", "retry", "discard", "restore", "arrived", "send_again")
#: Acts on many, answered with what was done and what was left (`acts.Done`).
_MANY = ("retry_many", "cancel_many", "discard_many", "restore_many", "set_priority", "redirect")


class Bridge:
    """``call`` is what a worker exports. ``set_link`` takes what the page says of the network,
    ``set_device`` what it says of itself and of the battery; ``accounts``: at destinations that
    people sign in to from here."""

    def __init__(
        self,
        queue: Queue,
        set_link: Callable[[bool], None],
        set_device: Callable[[Device], None] = lambda _device: None,
        accounts: Accounts | None = None,
    ):
        self._queue = queue
        self._set_link = set_link
        self._set_device = set_device
        self._accounts = accounts or Accounts()
        self._beat = 0
        self._methods: dict[str, Callable[..., Awaitable[Any]]] = {
            "ping": self._ping,
            "sync": self._sync,
            "retry_all": self._retry_all,
            "link": self._link,
            "device": self._device,
            "nudge": self._nudge,
            "enqueue": self._enqueue,
            "detail": self._detail,
            "accounts": self._accounts.all,
            "sign_in_at": self._accounts.begin,
            "signed_in": self._accounts.finish,
            "sign_out": self._accounts.sign_out,
            **{name: getattr(queue, name) for name in _AS_THEY_ARE},
            **{name: self._act(name) for name in _ACTS},
            **{name: self._many(name) for name in _MANY},
        }

    async def call(self, method: str, args_json: str = "{}") -> str:
        """``{"ok": …}`` or ``{"error": {code, message, todo, fields}}``, as JSON text."""
        try:
            function = self._methods.get(method)
            if function is None:
                raise InvalidItem(f"There is no method '{method}'.")
            return json.dumps({"ok": await function(**json.loads(args_json or "{}"))})
        except QueueError as error:
            return json.dumps({"error": error.as_dict()})

    async def _ping(self) -> dict[str, Any]:
        self._beat += 1
        return {"version": __version__, "beat": self._beat}

    async def _sync(self) -> dict[str, Any]:
        self._queue.sync_soon()
        return {"started": True}

    async def _retry_all(self, **chosen: Any) -> dict[str, Any]:
        return {"count": await self._queue.retry_all(**chosen)}

    async def _link(self, online: bool) -> dict[str, Any]:
        self._set_link(bool(online))
        return {}

    async def _device(self, **said: Any) -> dict[str, Any]:
        self._set_device(told(**said))
        self._queue.nudge()  # what was put off may go now
        return {}

    async def _nudge(self, reason: str = "") -> dict[str, Any]:
        self._queue.nudge(ask_now=reason == "visible")
        return {}

    async def _enqueue(self, kind: str, payload: dict[str, Any], **options: Any) -> dict[str, Any]:
        item = await self._queue.enqueue(kind, payload, **options)
        return {"id": item.id, "state": str(item.state)}

    async def _detail(self, id: str) -> dict[str, Any]:
        return await self._queue.detail(id)

    def _act(self, name: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        act = getattr(self._queue, name)

        async def acted(id: str, **options: Any) -> dict[str, Any]:
            await act(id, **options)
            return await self._queue.detail(id)

        return acted

    def _many(self, name: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        act = getattr(self._queue, name)

        async def acted(**options: Any) -> dict[str, Any]:
            done: Done = await act(**options)
            return done.as_dict()

        return acted
