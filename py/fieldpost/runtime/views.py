"""Rows, details and status as plain data for a screen (docs/interfaces.md, "The worker")."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fieldpost.engine.explain import state_text, why
from fieldpost.engine.machine import needs_person
from fieldpost.engine.model import Item, Part, Stored
from fieldpost.engine.record import Head
from fieldpost.engine.transitions import TRANSITIONS, Event, State
from fieldpost.ports import Manifest, Store

from .adopt import QUARANTINE
from .followups import ATTACHMENT, SWEEP
from .waiting import Blocker, waits_for

#: States that only a person leads out of.
NEED_A_PERSON = frozenset({State.FAILED, State.CONFLICTED, State.EXPIRED})

#: The lists of the screens, by state.
VIEWS: dict[str, tuple[State, ...]] = {
    "waiting": (
        State.PENDING,
        State.BLOCKED,
        State.IN_PROGRESS,
        State.UNKNOWN,
        State.HANDED_OVER,
    ),
    "attention": (State.FAILED, State.CONFLICTED, State.EXPIRED),
    "sent": (State.COMPLETED,),
    "ended": (State.CANCELLED, State.DISCARDED),
}
#: Sealed parts that a list opens, where it shows more than heads.
PARTS: dict[str, tuple[Part, ...]] = {"attention": ("head", "history")}

_ACTS = {
    "cancel": Event.CANCEL,
    "edit": Event.EDIT,
    "retry": Event.REVIVE,
    "discard": Event.DISCARD,
    "restore": Event.RESTORE,
    "arrived": Event.DELIVER,
    "send_again": Event.LOOKUP_ABSENT,
}


#: Kinds whose content nobody wrote.
_NOBODYS = frozenset({QUARANTINE, ATTACHMENT, SWEEP})
#: For an item of which only a person can find out whether it arrived.
_SEEN = frozenset({"arrived", "send_again"})


def acts(item: Item) -> list[str]:
    """What a person may do with the item now, from the transition table."""
    possible = [name for name, event in _ACTS.items() if event in TRANSITIONS[item.state]]
    forbidden: set[str] = set()
    if item.step > 0:
        forbidden |= {"cancel", "edit"}  # its text has been sent
    if item.kind in _NOBODYS:
        forbidden.add("edit")
    if not needs_person(item):
        forbidden |= _SEEN
    return [name for name in possible if name not in forbidden]


def answer(stored: Stored) -> dict[str, Any] | None:
    """The latest answer in the timeline, None where there is none or it was not opened: {at, code,
    status, text, fields}, each where known."""
    history = json.loads(stored.parts.get("history") or b"[]")
    for entry in reversed(history):
        if entry.get("code") or entry.get("status") or (entry.get("n") and entry.get("text")):
            return {k: entry.get(k) for k in ("at", "code", "status", "text", "fields")}
    return None


def row(
    stored: Stored, lane: str, now: int, own: str | None = None, blockers: Sequence[Blocker] = ()
) -> dict[str, Any]:
    """``own``: why this item in particular waits, where that is so; ``blockers``: what a blocked
    row waits for, as `waiting.waits_for` found it."""
    item, head = stored.item, Head.load(stored.parts.get("head"))
    return {
        "id": item.id,
        "kind": item.kind,
        "lane": item.lane,
        "title": head.title,
        "of": head.of,
        "state": str(item.state),
        "state_text": state_text(item),
        "why": own or why(item, lane, now, [blocker["title"] for blocker in blockers]),
        "priority": item.priority,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
        "due_at": item.due_at,
        "size": item.size,
        "attempts": item.attempts,
        "attachments": len(item.attachments),
        "parts": sum(a.parts for a in item.attachments),
        "parts_acked": sum(a.acked for a in item.attachments),
        "remote_id": head.remote_id,
        "remote_url": head.remote_url,
        "remote_name": head.remote_name,
        "destination": item.handed_to,
        "can": acts(item),
        "revision": item.revision,
        "error_code": item.error_code,
        "answer": answer(stored),
    }


async def detail(
    store: Store, stored: Stored, lane: str, now: int, own: str | None = None
) -> dict[str, Any]:
    """A row with its payload, attachments and timeline; ``stored`` has body and history opened."""
    manifests = {a.id: await store.manifest(a.id) for a in stored.item.attachments}
    blockers = (await waits_for(store, [stored.item])).get(stored.item.id, [])
    shown = row(stored, lane, now, own, blockers)
    return {
        **shown,
        "blockers": blockers,
        "payload": _payload(stored.parts.get("body")),
        "attachments": [
            {
                **_file(manifests[a.id]),
                "id": a.id,
                "size": a.size,
                "parts": a.parts,
                "acked": a.acked,
                "error": a.error,
            }
            for a in stored.item.attachments
        ],
        "history": json.loads(stored.parts.get("history") or b"[]"),
        "waits_for": shown["why"],
    }


def together(progress: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The progress of several lanes as one, None of none: sums, and the longest time left."""
    if not progress:
        return None
    most = [lane["ms_left"] for lane in progress if lane["ms_left"] is not None]
    return {name: sum(lane[name] for lane in progress) for name in _SUMMED} | {
        "ms_left": max(most, default=None)
    }


_SUMMED = ("done", "total", "bytes_done", "bytes_total", "items_per_s", "bytes_per_s")


def _payload(body: bytes | None) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:  # a quarantined capture: shown as it is
        return {"content": (body or b"").decode(errors="replace")}


def _file(manifest: Manifest | None) -> dict[str, Any]:
    if manifest is None:
        return {"name": "", "type": ""}
    return {"name": manifest.name, "type": manifest.type}
