"""What Zendesk's answers say and how it takes a ticket: the words of `zendesk.Zendesk`. Pure."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

from fieldpost.engine.model import Item
from fieldpost.ports import Manifest, Response

from .answers import read_json
from .records import Described
from .refusals import Refusal, plain_text

_UNTAGGED = re.compile(r"[^\w/-]+")
#: Their name of a field's type -> where it stands in a ticket.
_PLACES = {
    "subject": "subject",
    "description": "comment.body",
    "priority": "priority",
    "basic_priority": "priority",
    "tickettype": "type",
}
#: What their errors call some of these.
SAID = {"description": "comment.body", "ticket_type": "type", "ticket_type_id": "type"}


def part_of(response: Response, name: str) -> dict[str, Any] | None:
    answer = read_json(response)
    found = answer.get(name) if answer else None
    return found if isinstance(found, dict) else None


def is_of(ticket: Any, item: Item) -> TypeGuard[dict[str, Any]]:
    """Asked of each ticket here: a lookup's filter is not believed."""
    return (
        isinstance(ticket, dict)
        and ticket.get("external_id") == item.id
        and type(ticket.get("id")) is int
    )


def as_ticket(record: dict[str, Any]) -> dict[str, Any]:
    """The record as the API takes it."""
    ticket = dict(record)
    if tags := _tags(ticket.pop("tags", None)):
        ticket["tags"] = tags
    custom = ticket.pop("custom_fields", None)
    if isinstance(custom, dict):
        ticket["custom_fields"] = [
            {"id": int(name) if name.isdecimal() else name, "value": value}
            for name, value in sorted(custom.items())
        ]
    requester = ticket.pop("requester", None)
    if isinstance(requester, dict) and requester.get("email"):
        # Without an address nobody can be found or made; a new user must have a name.
        ticket["requester"] = {"name": requester["email"], **requester}
    return ticket


def _tags(found: Any) -> list[str]:
    """Tags have no spaces: what stands between two letters otherwise is one underscore."""
    if isinstance(found, dict):
        found = [found[name] for name in sorted(found)]
    texts = found if isinstance(found, list) else [found] if found else []
    slugs = [_UNTAGGED.sub("_", str(text).lower()).strip("_") for text in texts]
    return list(dict.fromkeys(slug for slug in slugs if slug))


def comment_of(manifest: Manifest) -> str:
    return f"{manifest.name}\nReference: {manifest.id}"


def holds(comment: Any, manifest: Manifest) -> bool:
    """Any file of the comment counts: one that an agent blacked out stands there under another
    name, and is not sent anew."""
    return (
        isinstance(comment, dict)
        and manifest.id in str(comment.get("body", ""))
        and bool(comment.get("attachments"))
    )


def dropped(response: Response, manifest: Manifest) -> bool:
    """The answer shows our comment, and no file at it."""
    audit = part_of(response, "audit")
    events = audit.get("events") if audit else None
    ours = [
        event
        for event in (events if isinstance(events, list) else [])
        if isinstance(event, dict) and manifest.id in str(event.get("body", ""))
    ]
    return any(event.get("attachments") == [] for event in ours)


def described(one: dict[str, Any]) -> Described | None:
    """None for a field of Zendesk's own that a map has no use for, such as the assignee."""
    type_, id_ = str(one.get("type")), one.get("id")
    place = _PLACES.get(type_) or (
        None if one.get("removable") is False else f"custom_fields.{id_}"
    )
    if place is None:
        return None
    options = one.get("system_field_options") or one.get("custom_field_options")
    choices = None
    if isinstance(options, list) and options:
        choices = tuple(str(o.get("value")) for o in options if isinstance(o, dict))
    required = one.get("required_in_portal") is True or type_ in ("subject", "description")
    return Described(place, str(one.get("title") or type_), required, choices)


def refusal(response: Response) -> Refusal | None:
    """In Zendesk's words; None where it is somebody else's answer."""
    answer = read_json(response)
    if answer is None:
        return plain_text(response) if response.status == 400 else None
    error, text = answer.get("error"), answer.get("description") or ""
    if isinstance(error, dict):
        text = error.get("message") or text
        error = error.get("code") or error.get("title")
    errors = answer.get("errors")
    if error is None and isinstance(errors, list) and errors and isinstance(errors[0], dict):
        error, text = errors[0].get("code"), errors[0].get("detail") or errors[0].get("title") or ""
    fields = {}
    details = answer.get("details")
    for name, wrong in (details if isinstance(details, dict) else {}).items():
        said = wrong if isinstance(wrong, list) else []
        each = [w.get("description") or w.get("error") for w in said if isinstance(w, dict)]
        fields[str(name)] = " ".join(str(one) for one in each if one)
    return Refusal(error if isinstance(error, str) else None, str(text), fields)
