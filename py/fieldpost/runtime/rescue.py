"""Rescue files: everything undelivered, out of this device and in again (docs/formats.md section
7).

``id`` and ``send_id`` travel with each item, so delivering both copies has one effect.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Protocol

from fieldpost.engine.errors import DatabaseError, RescueUnreadable
from fieldpost.engine.model import Capture, Stored
from fieldpost.engine.ordering import Links
from fieldpost.engine.record import Head
from fieldpost.engine.transitions import OPEN_STATES, State
from fieldpost.ports import Clock, Store

from .adopt import QUARANTINE, Intake

_PAGE = 200
_PARTS = ("head", "body", "intent", "links")


class RescueBox(Protocol):
    """The host's sealing of rescue files; it also moves the attachments, which never cross here."""

    async def write(self, passphrase: str, lines: list[str]) -> str:
        """Seal the item lines and the attachments they name; returns where the file is (a URL)."""

    async def read(self, passphrase: str, url: str) -> list[str]:
        """Open the file, store its attachments, return the item lines. Raises
        `RescueUnreadable`."""


class Rescue:
    def __init__(self, store: Store, intake: Intake, clock: Clock, box: RescueBox | None):
        self._store = store
        self._intake = intake
        self._clock = clock
        self._box = box

    async def out(self, passphrase: str) -> dict[str, Any]:
        """All open items, dead letters and captures: ``{"url", "name", "items"}``."""
        states = [*sorted(OPEN_STATES), State.FAILED]
        lines: list[str] = []
        cursor: int | None = None
        while True:
            page = await self._store.page(states, limit=_PAGE, cursor=cursor, parts=_PARTS)
            lines += [_line(stored) for stored in page.rows]
            if page.next is None:
                break
            cursor = page.next
        # Captures are rows by now, unless the storage can be read but takes no change.
        inbox = (await self._store.counters()).get("inbox", 0)
        if inbox:
            lines += [_captured_line(capture) for capture in await self._store.captures(inbox)]
        url = await self._required_box().write(passphrase, lines)
        name = f"fieldpost-rescue-{self._clock.now()}.txt"
        return {"url": url, "name": name, "items": len(lines)}

    async def take_in(self, passphrase: str, url: str) -> dict[str, int]:
        """``{"added", "known"}``: an id that is here already, in whatever state, changes
        nothing."""
        added = known = 0
        for line in await self._required_box().read(passphrase, url):
            try:
                data = json.loads(line)
                item_id, at = str(data["id"]), int(data["created_at"])
            except (ValueError, KeyError, TypeError) as error:
                raise RescueUnreadable from error
            if await self._store.get([item_id]):
                known += 1
                continue
            raw = data.get("capture")
            content = line.encode() if raw is None else base64.b64decode(raw)
            # As from the inbox: what this version does not understand is kept and shown.
            await self._intake.take(Capture(item_id, at, content))
            added += 1
        return {"added": added, "known": known}

    def _required_box(self) -> RescueBox:
        if self._box is None:
            raise DatabaseError("This host has no rescue files.")
        return self._box


def _line(stored: Stored) -> str:
    item = stored.item
    record: dict[str, Any] = {
        "type": "item",
        "id": item.id,
        "send_id": item.send_id,
        "kind": item.kind,
        "operation": item.operation,
        "lane": item.lane,
        "destination": item.handed_to,
        "priority": item.priority,
        "state": str(item.state),
        "created_at": item.created_at,
        "not_before": item.not_before,
        "expires_at": item.expires_at,
        "step": item.step,
        "title": Head.load(stored.parts.get("head")).title,
        "payload": None,
        "attachments": [{"id": a.id, "size": a.size, "parts": a.parts} for a in item.attachments],
    }
    if item.kind == QUARANTINE:
        record["capture"] = base64.b64encode(stored.parts["body"]).decode()
    else:
        record["payload"] = json.loads(stored.parts["body"])
    if "links" in stored.parts:
        links = Links.load(stored.parts["links"])
        record["links"] = {"entity": links.entity, "remote": dict(links.remote)}
        record["depends_on"] = list(item.parents)
        record["on_parent_failed"] = item.on_parent_failed or "block"
    if "intent" in stored.parts:
        record["intent"] = base64.b64encode(stored.parts["intent"]).decode()
    return json.dumps(record, ensure_ascii=False)


def _captured_line(capture: Capture) -> str:
    """A capture as it came: whoever takes the file in makes a row of it."""
    try:
        data = json.loads(capture.data)
        attachments = [
            {"id": a["id"], "size": a["size"], "parts": a["parts"]} for a in data["attachments"]
        ]
    except (ValueError, KeyError, TypeError):
        attachments = []  # what this version does not understand travels whole all the same
    record = {
        "type": "item",
        "id": capture.id,
        "created_at": capture.at,
        "capture": base64.b64encode(capture.data).decode(),
        "attachments": attachments,
    }
    return json.dumps(record, ensure_ascii=False)
