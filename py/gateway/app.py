"""The routes, and what becomes of errors."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from fieldpost.engine.errors import ConfigError, DatabaseError, StorageFull

from .api import Api
from .gateway import Gateway
from .guard import Guard
from .manage import Manage
from .pages import Pages
from .problems import STATUS, Problem
from .site import Site

_log = logging.getLogger("gateway")

#: HTTP status -> the code of errors the router raises.
_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def create_app(gateway: Gateway) -> ASGIApp:
    """The whole server as one ASGI application; the gateway is closed by whoever opened it."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await gateway.start()
        try:
            yield
        finally:
            await gateway.stop()

    app = Starlette(
        routes=routes(gateway),
        lifespan=lifespan,
        exception_handlers={
            Problem: _problem,
            HTTPException: _http,
            ClientDisconnect: _gone,
            sqlite3.Error: _storage,
            OSError: _storage,
            # Of a Redis server that is gone, full or no longer durable.
            DatabaseError: _storage,
            StorageFull: _storage,
            ConfigError: _storage,
            Exception: _bug,
        },
    )
    return Guard(app, gateway.settings, gateway.metrics)


def routes(gateway: Gateway) -> list[BaseRoute]:
    """Every route; `openapi.DOCUMENT` names the same paths, which a test compares."""
    api, pages = Api(gateway), Pages(gateway)
    v1 = [
        Route("/operations", api.operations, methods=["POST"]),
        Route("/operations/{id}", api.operation),
        Route("/operations/{id}/attachments/{attachment_id}/{n:int}", api.part, methods=["PUT"]),
        Route("/receipts", api.receipts),
        Route("/destinations", api.destinations),
    ]

    async def person(request: Request) -> None:
        await api.person(request)

    site = Site(gateway.settings)
    manage = Manage(gateway, site)
    pages.admit, manage.admit = person, api.person
    return [
        # A mount, so that a wrong method or path under it never falls through to the files.
        Mount("/api/v1", routes=v1),
        Route("/healthz", api.healthz),
        Route("/metrics", api.metrics),
        Route("/openapi.json", api.openapi),
        Route("/inbox", pages.list),
        Route("/inbox/style.css", pages.style),
        Route("/inbox/{reference}", pages.detail),
        Route("/inbox/{reference}/attachments/{position:int}", pages.attachment),
        Route("/manage", manage.enter),
        Route("/manage/", manage.page),
        Route("/manage/queue", manage.call, methods=["POST"]),
        Route("/manage/{path:path}", manage.asset),
        Route("/{path:path}", site),
    ]


async def _problem(request: Request, problem: Exception) -> Response:  # noqa: ARG001
    assert isinstance(problem, Problem)
    return problem.response()


async def _http(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "BAD_REQUEST")
    headers = dict(error.headers or {})
    return Problem(code, f"{error.detail}.", headers=headers).response()


async def _gone(request: Request, error: Exception) -> Response:  # noqa: ARG001
    # Nobody is there to read it; what came of the body is forgotten.
    return Response(status_code=STATUS["BAD_REQUEST"])


async def _storage(request: Request, error: Exception) -> Response:  # noqa: ARG001
    _log.error("The storage failed: %s", type(error).__name__)
    detail = "The gateway's storage does not take anything at the moment."
    return Problem("UNAVAILABLE", detail, headers={"Retry-After": "30"}).response()


async def _bug(request: Request, error: Exception) -> Response:  # noqa: ARG001
    # The server's log gets type and place (`guard.ShortTracebacks`); the answer gets neither.
    return Problem("INTERNAL", "Something went wrong in the gateway.").response()
