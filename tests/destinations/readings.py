"""Items, answers about them and what an adapter reads in these, where no queue is needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fieldpost.destinations.base import Contact, Reading, Script
from fieldpost.engine.model import Attachment, Item
from fieldpost.engine.outcome import Outcome
from fieldpost.ports import Response

#: Requests after which a script that is told the same again and again has to have ended.
ENOUGH = 200


def an_item(*, files: int = 0, kind: str = "ticket") -> Item:
    ids = [f"0190a000-0000-7000-8000-00000000000{n}" for n in range(3 + files)]
    return Item(
        id=ids[0],
        kind=kind,
        operation="create",
        lane="desk",
        send_id=ids[1],
        created_at=1,
        updated_at=1,
        attachments=tuple(Attachment(id_, 10, 1) for id_ in ids[3:]),
    )


def body_of(payload: Any) -> bytes:
    return json.dumps(payload).encode()


def said(status: int, body: Any = None, **headers: str) -> Response:
    """An answer; ``body`` as JSON, or as it is where it is bytes."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    if isinstance(body, bytes):
        return Response(status, {"content-type": "text/html", **named}, body)
    given = json.dumps(body).encode()
    return Response(status, {"content-type": "application/json", **named}, given)


def one(reading: Reading) -> tuple[Contact, Outcome]:
    (outcome,) = reading.outcomes
    return reading.contact, outcome


def retold(script: Script[Any], answers: Sequence[Response], last: Response) -> Any:
    """What the script comes to with these answers, and ``last`` for whatever else it asks."""
    try:
        next(script)
        for response in [*answers, *[last] * ENOUGH]:
            script.send(response)
    except StopIteration as end:
        return end.value
    raise AssertionError(f"{script} asks for ever")
