"""Reading answers that concern a whole request: problem details, portals, sign-in pages, overload.

Shared by all HTTP adapters. Classification follows RFC 9110 (status codes), RFC 9457 (problem
details) and RFC 6585 (429). A 5xx, a redirect or a page where JSON was due leaves it open whether
the server acted, so these are `unknown`; only a server that speaks in problem details is believed
when it says that it did not.
"""

from __future__ import annotations

import email.utils
import json
import re
from dataclasses import replace
from typing import Any

from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Response

from .base import Contact

ONLINE = Contact("online")
_SECONDS = re.compile("[0-9]{1,15}")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: What may be half a character: servers cut texts inside an emoji. Nothing that has one could be
#: stored or sent on, so a lone half is read as "?".
_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def read_any(response: Response) -> Any:
    """The body as JSON of any form, None: redirected, not JSON by its type, or not JSON."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.redirected or not (kind == "application/json" or kind.endswith("+json")):
        return None
    try:
        value = json.loads(response.body)
        if _HALF.search(response.body):
            text = json.dumps(value, ensure_ascii=False)
            value = json.loads(text.encode(errors="replace"))
    except (ValueError, RecursionError):  # not JSON, or lists in lists without end
        return None
    return value


def read_json(response: Response) -> dict[str, Any] | None:
    """The body as a JSON object, or None: not an object, or not JSON (`read_any`)."""
    value = read_any(response)
    return value if isinstance(value, dict) else None


def problem(answer: dict[str, Any] | None, name: str) -> str | None:
    value = answer.get(name) if answer else None
    return value if isinstance(value, str) else None


def retry_after_ms(headers: dict[str, str], now: int | None = None) -> int | None:
    """``Retry-After`` (RFC 9110 section 10.2.3) in ms: delta-seconds, or a date where ``now`` or
    the answer's own ``Date`` tells what it is counted from."""
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return int(value) * 1000
    until, since = _date_ms(value), _date_ms(headers.get("date", "")) or now
    return max(0, until - since) if until is not None and since is not None else None


def dated(response: Response, now: int) -> Response:
    """With a ``Date`` where a ``Retry-After`` names a date and the answer has none of its own (a
    browser shows it to no other origin): this device's clock is all there is to count from."""
    value = response.headers.get("retry-after", "").strip()
    if not value or value.isdigit() or "date" in response.headers:
        return response
    headers = response.headers | {"date": email.utils.formatdate(now / 1000, usegmt=True)}
    return replace(response, headers=headers)


def pause_ms(answer: dict[str, Any], response: Response) -> int | None:
    """How long the server asks for quiet: ``pause_until`` (ms, its clock) less its own ``Date``."""
    until, since = answer.get("pause_until"), _date_ms(response.headers.get("date", ""))
    if not isinstance(until, int):
        return None
    return max(0, until - since) if since is not None else 30_000


def _date_ms(value: str) -> int | None:
    try:
        return int(email.utils.parsedate_to_datetime(value).timestamp() * 1000)
    except ValueError:
        return None


def whole_failure(
    response: Response, answer: dict[str, Any] | None, *, coded: bool = True
) -> tuple[Contact, Outcome]:
    """What a failed request says of the lane and of each item in it. ``coded``: the server names a
    ``code`` when it refuses, so an answer without one is somebody else's."""
    status = response.status
    code = problem(answer, "code")
    text = problem(answer, "detail") or problem(answer, "title") or ""
    spoken = answer is not None and (code is not None or not coded)
    if (
        status == 0
        or status in _REDIRECTS
        or response.redirected
        or (answer is None and status < 400)
    ):
        text = "Another page answered in place of the server, as sign-in pages of networks do."
        return (
            Contact("sign_in_page", text),
            Outcome(Class.UNKNOWN, "SIGN_IN_PAGE", text, status, lane=True),
        )
    if status == 426:
        text = "The server needs a newer version of this app. Nothing is lost."
        return (
            Contact("update_required", text),
            Outcome(Class.TRANSIENT, "QUEUE_UPDATE_REQUIRED", text, status, lane=True),
        )
    if status == 401:
        text = text or "The server does not know this device."
        return Contact("signed_out", text), Outcome(Class.AUTH, code, text, status, lane=True)
    wait = retry_after_ms(response.headers)
    if status == 429 or (status == 503 and spoken):
        text = text or "The server asks to wait."
        return (
            Contact("limited", text, wait if wait is not None else 30_000),
            Outcome(Class.RATE_LIMITED, code, text, status, retry_after_ms=wait, lane=True),
        )
    if status >= 500 or status == 408:  # 408: it waited for the rest of a request, or says so
        return _server_error(status, code, text, wait)
    if not spoken:  # a proxy's 403 or 404 page: nothing is known of the item
        text = f"The server answered {status} without a reason."
        return (
            Contact("unreachable", text),
            Outcome(Class.UNKNOWN, "QUEUE_SYNC_FAILED", text, status, lane=True),
        )
    if status < 400:  # a success that the adapter did not find proved: it may have been meant
        text = text or f"The server answered {status}, which proves nothing of this item."
        return ONLINE, Outcome(Class.UNKNOWN, "QUEUE_SYNC_FAILED", text, status)
    if status in (404, 409):  # the operation is not (any more) as this device thinks: start over
        return ONLINE, Outcome(Class.TRANSIENT, code, text, status)
    cls = {403: Class.PERMISSION, 413: Class.TOO_LARGE}.get(status, Class.PERMANENT)
    return ONLINE, Outcome(cls, code, text, status, fields=_fields(answer))


def _server_error(
    status: int, code: str | None, text: str, wait: int | None
) -> tuple[Contact, Outcome]:
    text = text or f"The server had an error ({status})."
    # 502, 503, 504 and 408 come from what stands before the server: they say nothing of the item. A
    # 500 may be the item's own doing, so it burns a try, or one poisonous item would block a lane.
    lane = status in (408, 502, 503, 504)
    return (
        Contact("unreachable", text, wait),
        Outcome(
            Class.UNKNOWN, code or "QUEUE_SYNC_FAILED", text, status, retry_after_ms=wait, lane=lane
        ),
    )


def _fields(answer: dict[str, Any] | None) -> dict[str, str]:
    fields = answer.get("fields") if answer else None
    return {str(k): str(v) for k, v in fields.items()} if isinstance(fields, dict) else {}
