"""What vendors' adapters have in common: their refusals read by one table, their limits in all the
forms in which they are told, what they say of their fields in the payload's own words. Pure.

The table is for requests that make something: what leaves it open whether the vendor acted is
`unknown`, and only what the vendor itself says (``spoken``) ends an item.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fieldpost.engine.model import Item
from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Manifest, Response

from .answers import ONLINE, whole_failure
from .base import Contact
from .fieldmap import Rule, offers

_CLASSES = {
    403: Class.PERMISSION,
    409: Class.UNKNOWN,  # of a request that makes something: it is looked for, and there or not
}
#: A success whose content does not prove it.
UNPROVED = Outcome(
    Class.UNKNOWN, "QUEUE_SYNC_FAILED", "The server's answer does not name this item."
)


def read_any(response: Response) -> Any:
    """The body as JSON of any form, None: redirected, not JSON by its type, or not JSON."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.redirected or not (kind == "application/json" or kind.endswith("+json")):
        return None
    try:
        return json.loads(response.body)
    except ValueError:
        return None


def refusal(
    response: Response, text: str, fields: Mapping[str, str] | None = None, *, spoken: bool
) -> tuple[Contact, Outcome]:
    """What an answer that is no success says of the lane and of its item. ``spoken``: the vendor's
    own error shape was in it; ``text``, ``fields``: what it said there."""
    status = response.status
    if status == 413:  # also of a proxy: what it refused it did not pass on
        text = text or "It is larger than what is taken there."
        return ONLINE, Outcome(Class.TOO_LARGE, None, text, status, fields=dict(fields or {}))
    if status == 401 or status >= 500 or status == 408 or not spoken:
        told = {"detail": text} if spoken else None
        return whole_failure(with_wait(response), told)
    if status == 429:
        return whole_failure(with_wait(response), {"detail": text})
    if status < 400:
        return ONLINE, UNPROVED
    cls = _CLASSES.get(status, Class.PERMANENT)
    return ONLINE, Outcome(cls, None, text, status, fields=dict(fields or {}))


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


def taken_for_it(item: Item, manifest: Manifest) -> int:
    """How many other files of the item are there already that may look like this one: where names
    and sizes are all that can be compared, only what is there more often is this one. (A file twice
    is better than a file lost.)"""
    others = (a for a in item.attachments if a.id != manifest.id and a.size == manifest.size)
    return sum(a.done for a in others)


_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


def media_type(manifest: Manifest) -> str:
    """Of a file, as it may stand in a header."""
    return manifest.type if _MEDIA_TYPE.fullmatch(manifest.type) else "application/octet-stream"


# --- what a vendor says of its fields, in the payload's names ------------------------------------


def payload_name(rules: Sequence[Rule], field: str) -> str:
    """The payload's name of a field of the record (its first step, where the map goes deeper); the
    record's own where the map makes it of no single one."""
    return next((r.source for r in rules if r.source and r.to.split(".")[0] == field), field)


def translated(rules: Sequence[Rule], fields: Mapping[str, str]) -> dict[str, str]:
    """Field errors of the record, by the payload's names."""
    return {payload_name(rules, name): wrong for name, wrong in fields.items()}


def choices_left(rules: Sequence[Rule], offered: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """Payload field -> the values of it that have a place among what is ``offered`` (by ``to``),
    where the form has to know: of a field that is written out in a text too, nothing is lost."""
    bound = offers(rules)
    left: dict[str, tuple[str, ...]] = {}
    for rule in rules:
        if rule.to not in offered or rule.source not in bound:
            continue
        there = set(offered[rule.to])
        before = left.get(rule.source, tuple(rule.choices))
        left[rule.source] = tuple(ours for ours in before if str(rule.choices[ours]) in there)
    return left


def unplaced(rules: Sequence[Rule], offered: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Sentences on what the map would write that the vendor does not offer."""
    notes = []
    for rule in rules:
        if rule.to not in offered or not rule.choices:
            continue
        there = set(offered[rule.to])
        gone = sorted({str(v) for v in rule.choices.values()} - there)
        if gone:
            notes.append(f"{rule.to} does not offer {', '.join(gone)}, which the map would write.")
    return tuple(notes)
