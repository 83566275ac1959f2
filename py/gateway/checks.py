"""What an administrator asks before anybody relies on a destination: is it there, does it let us
in, and what exactly would be sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.base import Contact
from fieldpost.destinations.fieldmap import FieldMap
from fieldpost.engine.canonical import canonical
from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.kinds import STANDARD, Kinds
from fieldpost.engine.model import Item
from fieldpost.hosts.cpython.credentials import HIDDEN, CredentialTransport, OAuth
from fieldpost.ports import NoAnswer, Request, Transport
from fieldpost.runtime.credentials import SECRET_CHARS_MIN

from .systems import System

#: Never shown, whoever put them there.
_SECRET_HEADERS = frozenset({"authorization", "apikey", "x-api-key", "cookie"})
#: Ids of an item that is never sent.
_SAMPLE = "00000000-0000-7000-8000-000000000000"
_AT = 1_700_000_000_000

#: Until one is answered that leaves the next as it was.
_QUESTIONS_MOST = 3
_NOT_FOUND = Contact("unreachable", "It answers, but does not say where this site is.")

#: A refresh token that is used here may be worth nothing to the gateway afterwards, and asking with
#: one that the gateway has used may sign it out.
_ROTATES = Contact(
    "unproven",
    "It is signed in with a refresh token, which only the gateway itself may use: start it and look"
    " at its log.",
)


async def test_connection(adapter: Adapter, transport: Transport) -> Contact:
    """Ask the destination the questions that its lane asks, with our credential. Where it cannot be
    asked anything, that is said."""
    request = adapter.probe()
    if request is None:
        return Contact("unproven", "It can only be tried with an item: use the dry run.")
    for _ in range(_QUESTIONS_MOST):
        try:
            response = await transport.send(request)
        except NoAnswer as failure:
            return adapter.no_answer(failure).contact
        contact = adapter.read_probe(response, known=False)
        # The first may ask only where the site is, which needs no credential, and proves none.
        following = adapter.probe()
        if not contact.ok or following is None or following == request:
            break
        request = following
    return _NOT_FOUND if contact.ok and not adapter.located else contact


async def test_all(systems: Sequence[System], outward: Transport) -> dict[str, Contact]:
    """Each destination's name -> what it said. ``outward``: the relay's way out, without
    credentials."""
    credentials = {each.name: each.credential for each in systems if each.credential is not None}
    transport = CredentialTransport(outward, credentials)
    return {
        each.name: _ROTATES
        if isinstance(each.credential, OAuth) and each.credential.refresh_token is not None
        else await test_connection(each.adapter, transport)
        for each in systems
    }


def fails(contact: Contact) -> bool:
    """Whether it is known not to work, which is more than that nobody can know."""
    return contact.state not in ("online", "unproven")


def dry_run(adapter: Adapter, kind: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The request that would create this item: ``{"method", "url", "headers", "body", "asks"}``,
    the body as JSON where it is; ``asks``: method and URL of what is asked before it, whose answer
    may add to it, or None. Nothing is sent, and no secret is in it.

    Raises `InvalidItem` with the payload's fields that are missing or wrong.
    """
    Kinds(*STANDARD).check(kind, payload, loosely=True)
    declared = adapter.declaration.kinds
    if declared is not None and kind not in declared:
        raise InvalidItem(fields={"kind": f"is not taken; it takes {', '.join(sorted(declared))}"})
    item = _item(adapter, kind)
    intent = adapter.intent(item, canonical(payload), [])
    request = adapter.request([intent], [])
    headers = dict(request.headers)
    if request.credential:
        headers[f"(credential {request.credential})"] = HIDDEN
    for name in headers:
        if name.lower() in _SECRET_HEADERS:
            headers[name] = HIDDEN
    try:
        body: Any = json.loads(request.body)
    except ValueError:
        body = request.body.decode(errors="replace")
    return {
        "method": request.method,
        "url": request.url,
        "headers": headers,
        "body": body,
        "asks": _asks(adapter, intent),
    }


def _asks(adapter: Adapter, intent: bytes) -> str | None:
    script = adapter.enrich([intent])
    asked = next(script, None)  # None as well where it has nothing to ask
    script.close()
    return f"{asked.method} {asked.url}" if isinstance(asked, Request) else None


def _item(adapter: Adapter, kind: str) -> Item:
    return Item(
        id=_SAMPLE,
        kind=kind,
        operation="create",
        lane=adapter.lane,
        send_id=_SAMPLE,
        created_at=_AT,
        updated_at=_AT,
    )


def preview(adapter: Adapter, kind: str) -> list[dict[str, Any]] | None:
    """What goes where, for a kind: the rules of its field map (docs/destinations.md), each with
    what it makes of the example as ``sample``; None where the item goes as it is."""
    fields: FieldMap = getattr(adapter, "fields", None) or {}
    if kind not in fields:
        return None
    item, payload = _item(adapter, kind), sample(kind)
    return [
        {
            "to": rule.to,
            "from": rule.source,
            "text": rule.text,
            "value": rule.value,
            "choices": dict(rule.choices),
            "otherwise": rule.otherwise,
            "max": rule.most,
            "required": rule.required,
            "sample": rule.of(item, payload),
        }
        for rule in fields[kind]
    ]


def hidden(told: Any, secrets: Sequence[str]) -> Any:
    """The same plain data, with each secret replaced wherever it stands in a text."""
    if isinstance(told, str):
        for secret in secrets:
            for text in (secret, secret.partition(" ")[2]):
                if len(text) >= SECRET_CHARS_MIN:
                    told = told.replace(text, HIDDEN)
        return told
    if isinstance(told, Mapping):
        return {hidden(name, secrets): hidden(value, secrets) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [hidden(each, secrets) for each in told]
    return told


def sample(kind: str) -> dict[str, Any]:
    """A payload that shows where each field goes, for the mapping's preview."""
    return dict(_SAMPLES.get(kind, {}))


_SAMPLES: dict[str, dict[str, Any]] = {
    "ticket": {
        "summary": "Pump 3 is leaking",
        "description": "Water under the pump since this morning.",
        "category": "hardware",
        "severity": "high",
        "user": {"name": "Ann Example", "email": "ann@example.org"},
        "systemInfo": {"osVersion": "Android 15", "deviceName": "Tablet 7"},
    },
    "feedback": {"rating": 4, "comment": "Works well.", "userName": "Ann Example"},
    "log": {"level": "error", "message": "Battery low", "component": "power", "timestamp": _AT},
    "call": {"line": "1", "number": "+15550100", "time": _AT, "direction": "incoming"},
    "message": {"line": "1", "number": "+15550100", "time": _AT, "direction": "incoming"},
}
