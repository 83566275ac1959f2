"""Refusals in a vendor's own words, read by the rules that all of their adapters share, and limits
in all the forms in which they are told. Pure.

An adapter says what the answer says (`Refusal`); what follows from the status is here, for requests
that make something: what leaves it open whether the vendor acted is `unknown`, and only what the
vendor itself says ends an item.
"""

from __future__ import annotations

import email.utils
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Response

from .answers import ONLINE, read_any, whole_failure
from .base import Contact

#: Of an answer in plain text, shown to people.
_TEXT_MOST = 300
#: A success whose content does not prove it.
UNPROVED = Outcome(
    Class.UNKNOWN, "QUEUE_SYNC_FAILED", "The server's answer does not name this item."
)
#: What whole_failure makes of these is not what they say of a request that makes something.
_CLASSES = {
    404: Class.PERMANENT,
    408: Class.UNKNOWN,  # it may have been done all the same
    409: Class.UNKNOWN,  # it is looked for, and there or not
    503: Class.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """``code``: the vendor's; ``text``: for people; ``fields``: name in the vendor's record (or the
    payload's, once translated) -> what is wrong with it."""

    code: str | None = None
    text: str = ""
    fields: dict[str, str] = field(default_factory=dict)


def read_list(response: Response) -> list[Any] | None:
    """The body as a JSON list, by the rules of `read_any`."""
    found = read_any(response)
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
    status, told = response.status, said or Refusal()
    if status == 413:  # also of a proxy: what it refused it did not pass on
        text = told.text or "It is larger than what is taken there."
        return ONLINE, Outcome(Class.TOO_LARGE, told.code, text, status, fields=dict(told.fields))
    if said is not None and 200 <= status < 400 and not response.redirected:
        return ONLINE, replace(
            UNPROVED,
            code=said.code or UNPROVED.code,
            text=said.text or UNPROVED.text,
            status=status,
        )
    answer: dict[str, Any] | None = None
    if said is not None:
        answer = {"code": said.code, "detail": said.text, "fields": said.fields}
    contact, outcome = whole_failure(with_wait(response), answer, coded=False)
    if said is not None or status in (408, 503):
        outcome = replace(outcome, cls=_CLASSES.get(status, outcome.cls))
    if said is not None and status == 404:
        outcome = replace(outcome, fields=dict(said.fields))
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


def with_wait(response: Response) -> Response:
    """With a ``Retry-After`` where only ``X-RateLimit-Reset`` says until when to wait: Unix time in
    seconds, or ISO 8601, counted from the answer's own ``Date``."""
    headers = response.headers
    if "retry-after" in headers or response.status not in (429, 503):
        return response
    until = _moment(headers.get("x-ratelimit-reset", ""))
    since = _http_date(headers.get("date", ""))
    if until is None or since is None:
        return response
    seconds = max(1, round((until - since).total_seconds()))
    return replace(response, headers={**headers, "retry-after": str(seconds)})


def _moment(value: str) -> datetime | None:
    try:
        if value.strip().isascii() and value.strip().isdigit():
            return datetime.fromtimestamp(int(value), UTC)
        found = datetime.fromisoformat(value.strip())
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _http_date(value: str) -> datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
