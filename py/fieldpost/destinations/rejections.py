"""Refusals in a vendor's own words, read by the rules that all HTTP adapters share.

An adapter says what the answer says (`Refusal`); what follows from the status is here. A create
that a server failed at (5xx, also with ``Retry-After``) stays open: it may have been done.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Response

from .answers import ONLINE, read_json, whole_failure
from .base import Contact

#: Of an answer in plain text, shown to people.
_TEXT_MOST = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """``code``: the vendor's; ``text``: for people; ``fields``: name in the vendor's record (or the
    payload's, once translated) -> what is wrong with it."""

    code: str | None = None
    text: str = ""
    fields: dict[str, str] = field(default_factory=dict)


def read_list(response: Response) -> list[Any] | None:
    """The body as a JSON list, by the rules of `read_json`."""
    wrapped = read_json(replace(response, body=b'{"list":' + response.body + b"}"))
    found = wrapped.get("list") if wrapped else None
    return found if isinstance(found, list) else None


def plain_text(response: Response) -> Refusal | None:
    """A refusal in plain text, as some servers answer what they could not parse."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.redirected or kind != "text/plain":
        return None
    return Refusal(text=response.body.decode(errors="replace").strip()[:_TEXT_MOST])


def read_refusal(response: Response, said: Refusal | None) -> tuple[Contact, Outcome]:
    """What an answer that is no success says of the lane and of the item. ``said``: None where it
    is not in the vendor's words: a proxy, a portal."""
    answer: dict[str, Any] | None = None
    if said is not None:
        answer = {"code": said.code, "detail": said.text, "fields": said.fields}
        if response.status < 400 and not response.redirected and response.status >= 200:
            text = said.text or "The answer does not name this item."
            return ONLINE, Outcome(Class.UNKNOWN, said.code, text, response.status)
    contact, outcome = whole_failure(response, answer, coded=False)
    if response.status in (408, 503):  # it may have been done all the same
        outcome = replace(outcome, cls=Class.UNKNOWN)
    if response.status == 404 and said is not None:
        outcome = replace(outcome, cls=Class.PERMANENT, fields=dict(said.fields))
    return contact, outcome


def unproved(name: str, answered: tuple[Contact, Outcome]) -> Contact:
    """Of a probe that was not answered as it has to be: a refusal would be one of every item, so
    all of them wait."""
    contact, outcome = answered
    if not contact.ok:
        return contact
    text = f"Something else than {name} answers at this address."
    if outcome.status is not None and outcome.status >= 400:
        text = outcome.text or f"{name} refuses even to be asked ({outcome.status})."
    return Contact("unreachable", text)
