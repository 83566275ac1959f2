"""/manage: people at the gateway look at its own queue and act on it, with the app's own screens.

One call, as the engine's worker in a browser has one: JSON in, ``{"ok": …}`` or ``{"error": …}``
out (docs/interfaces.md). It lies beside the page, not under ``/api/``: no page of another origin
may ask it anything, whatever `--allow-origin` says, and a person's token goes nowhere else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fieldpost import __version__
from fieldpost.engine.errors import QueueError

from .body import read_body
from .devices import Device
from .gateway import Gateway
from .manage_queue import ACTS, LOOKS, QueueByHand
from .manage_systems import Behind
from .problems import Problem
from .site import Site

_log = logging.getLogger("gateway.manage")


class NoDestinations(QueueError):
    """Nothing is behind this gateway: what arrives stays in its inbox. Name destinations in a file
    and start the gateway with --destinations.
    """

    code = "NO_DESTINATIONS"


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks. ``name``: as paired, "" for anybody on this computer."""

    name: str
    device_id: str
    may_act: bool


class Manage:
    #: Says who it is; None is anybody here. Raises `Problem` for whoever may not look.
    admit: Callable[[Request], Awaitable[Device | None]]

    def __init__(self, gateway: Gateway, site: Site) -> None:
        self._gateway = gateway
        self._site = site
        self._behind = Behind(gateway)

    async def enter(self, request: Request) -> Response:  # noqa: ARG002
        """To where its relative addresses work, below whatever path a proxy has put us."""
        return RedirectResponse("manage/", 307)

    async def page(self, request: Request) -> Response:
        await self.admit(request)
        return await self._site.file(request, "static/manage.html")

    async def asset(self, request: Request) -> Response:
        """The app's files, a second time: here the service worker of the app, which may keep an
        older version of them, leaves them alone. They are the same for everybody."""
        return await self._site.file(request, request.path_params["path"])

    async def call(self, request: Request) -> Response:
        try:
            device = await self.admit(request)
        except Problem as refused:
            if refused.code == "UNAUTHORISED":
                # The page is asked for the token when it is opened. A question for each call would
                # come up over and over, and go with the call's time limit.
                refused.headers = {"WWW-Authenticate": "Bearer"}
            raise
        who = Person("", "", may_act=True)
        if device is not None:
            who = Person(device.name, device.id, may_act=device.role == "operator")
        if self._gateway.rate.take(device.id if device else "manage"):
            raise Problem("RATE_LIMITED", "Too many requests.", headers={"Retry-After": "1"})
        method, args = await self._asked(request)
        try:
            answer = {"ok": await self._answer(who, method, args)}
        except QueueError as error:
            answer = {"error": error.as_dict()}
        text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
        headers = {"Cache-Control": "no-store"}
        return Response(text, headers=headers, media_type="application/json")

    async def _asked(self, request: Request) -> tuple[str, dict[str, Any]]:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            # Of all types, this one no form of another page can send.
            raise Problem("UNSUPPORTED_TYPE", "Ask with application/json.")
        limits = self._gateway.settings.limits
        body = await read_body(request, limits.operations_bytes, limits)
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Problem("BAD_REQUEST", "That is not JSON.") from error
        if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
            raise Problem("BAD_REQUEST", "Name a method, and its args.")
        args = asked.get("args", {})
        if not isinstance(args, dict):
            raise Problem("BAD_REQUEST", "args has to be an object.")
        return asked["method"], args

    async def _answer(self, who: Person, method: str, args: dict[str, Any]) -> Any:
        """Raises `Problem` FORBIDDEN, and what the queue raises."""
        acts = method in ACTS or method in Behind.ACTS
        if acts and not who.may_act:
            detail = "A reader may look, not act. An operator's token may (pair --operator)."
            raise Problem("FORBIDDEN", detail)
        if acts:
            # The queue's journal says what was done; who did it stands here, for acts on many too.
            _log.info("%s: %s", who.name or "somebody on this computer", method)
        if method == "gateway":
            return {
                "version": __version__,
                "name": who.name,
                "may_act": who.may_act,
                "relays": self._gateway.relay is not None,
            }
        if method in LOOKS or method in ACTS:
            return await self._queue(who).call(method, args)
        return await self._behind.call(method, args, who.device_id)

    def _queue(self, who: Person) -> QueueByHand:
        relay = self._gateway.relay
        if relay is None:
            raise NoDestinations
        if relay.queue is None:
            raise Problem("UNAVAILABLE", "The gateway is starting or stopping.")
        return QueueByHand(self._gateway, relay, relay.queue, who.name, may_act=who.may_act)
