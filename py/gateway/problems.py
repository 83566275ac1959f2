"""Problem details (RFC 9457): the one form of every refused request."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

#: code -> HTTP status. The codes are API (docs/formats.md section 6).
STATUS = {
    "BAD_REQUEST": 400,
    "UNAUTHORISED": 401,
    "FORBIDDEN": 403,
    "FORBIDDEN_ORIGIN": 403,
    "NOT_FOUND": 404,
    "UNKNOWN_OPERATION": 404,
    "UNKNOWN_ATTACHMENT": 404,
    "METHOD_NOT_ALLOWED": 405,
    "PART_GAP": 409,
    "TOO_LARGE": 413,
    "UNSUPPORTED_TYPE": 415,
    "DIGEST_MISMATCH": 422,
    "UPDATE_REQUIRED": 426,
    "RATE_LIMITED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}


class Problem(Exception):
    """A request is refused: ``code`` (a key of `STATUS`), a sentence, further members, headers."""

    def __init__(
        self, code: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(code)
        self.code = code
        self.status = STATUS[code]
        self.detail = detail
        self.headers = headers or {}
        self.members = members

    def response(self) -> Response:
        """As ``application/problem+json``; ``type`` stays about:blank, ``code`` tells more."""
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.members,
        }
        return Response(
            json.dumps(body, separators=(",", ":")),
            self.status,
            {**self.headers, "Cache-Control": "no-store"},
            media_type="application/problem+json",
        )
