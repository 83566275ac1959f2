"""Around everything: who may ask at all, security headers, counting, and a bound on the crowd.

Outside of the router, so that error pages of every origin carry the headers too.
"""

from __future__ import annotations

import logging
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics
from .problems import Problem
from .settings import Settings

#: On every answer unless it brings its own. (OWASP Secure Headers; DESIGN section 9.)
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    # Not no-referrer: under it, some same-origin requests come with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


#: What pages of an allowed origin may ask: the wire, and whether the gateway is there. Not the app,
#: not the inbox, not the metrics. No credentials of the browser's: a device names itself.
_SHARED = ("/api/v1/", "/healthz")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Digest, Content-Type, Fieldpost-Device, Fieldpost-Send-Id"
    ),
    "Access-Control-Max-Age": "7200",  # browsers cap it there
}


class Guard:
    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500
        asked = Headers(scope=scope)
        shared = self._settings.allow_origins and str(scope["path"]).startswith(_SHARED)
        guest = origin_of_guest(asked, self._settings.allow_origins) if shared else None

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if shared:
                    headers.add_vary_header("Origin")
                if guest is not None:
                    headers["Access-Control-Allow-Origin"] = guest
                    headers["Access-Control-Expose-Headers"] = "Retry-After"
            await send(message)

        self._metrics.in_flight += 1
        try:
            answer = self._refusal(asked, guest)
            if answer is None and guest is not None and scope["method"] == "OPTIONS":
                answer = Response(status_code=204, headers=_PREFLIGHT)
            await (answer or self._app)(scope, receive, guarded_send)
        finally:
            self._metrics.in_flight -= 1
            endpoint = scope.get("endpoint")
            route = getattr(endpoint, "__name__", "none") if endpoint else "none"
            self._metrics.request(route, status, time.monotonic() - began)

    def _refusal(self, headers: Headers, guest: str | None) -> Response | None:
        if (why := foreign(headers, self._settings.host_names, guest)) is not None:
            if headers.get("sec-fetch-mode") == "navigate":
                return _page_for_people()
            return Problem("FORBIDDEN_ORIGIN", why).response()
        if self._metrics.in_flight > self._settings.limits.in_flight:
            busy = Problem(
                "UNAVAILABLE", "Too many requests at once.", headers={"Retry-After": "1"}
            )
            return busy.response()
        return None


def origin_of_guest(headers: Headers, allowed: frozenset[str]) -> str | None:
    """The request's origin when it is exactly one of those allowed."""
    origins = headers.getlist("origin")
    return origins[0] if len(origins) == 1 and origins[0] in allowed else None


def foreign(headers: Headers, host_names: frozenset[str], guest: str | None = None) -> str | None:
    """Why a request comes from somewhere else (DNS rebinding, another site), or None.

    ``guest``: its origin, where that one is allowed. Ports are free: a proxy in front has its own.
    `same-site` is foreign too: on loopback it is another program's page on another port.
    """
    host = headers.get("host", "").lower()
    if len(headers.getlist("host")) != 1 or _name_of(host) not in host_names:
        return "This gateway does not answer to that host name; see --allow-host."
    if guest is not None:
        return None
    origin = headers.get("origin")
    if origin is not None:
        parts = urlsplit(origin.lower())
        # The scheme is not compared: TLS may end at a proxy in front.
        if parts.scheme not in ("http", "https") or parts.netloc != host:
            return "The request comes from a page of another origin."
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return "The request comes from a page of another origin."
    return None


def _name_of(host: str) -> str:
    """The host without its port; brackets of an IPv6 address stay."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _page_for_people() -> Response:
    """Somebody followed a link from elsewhere: let them go on by their own click."""
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Fieldpost</title>'
        '<p>Fieldpost is not opened from other sites. <a href="/">Go to Fieldpost</a></p></html>',
        403,
    )


class ShortTracebacks(logging.Filter):
    """Turn a logged exception into its type and place: messages may quote what people typed."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            error, last = record.exc_info[1], record.exc_info[2]
            while last is not None and last.tb_next is not None:
                last = last.tb_next
            place = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last else "?"
            record.msg, record.args = "%s at %s", (type(error).__name__, place)
            record.exc_info = record.exc_text = None
        return True
