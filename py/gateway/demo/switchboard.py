"""The switchboard: a page that breaks the lines and shows what becomes of the tickets."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.guard import SECURITY_HEADERS, foreign
from gateway.settings import LOOPBACK_NAMES

from . import page
from .demo import Demo

_HERE = Path(__file__).parent
_HEADERS = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}
#: Shown as pictures, by how they begin; everything else is only ever downloaded.
_PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_NEWEST = 50


class Switchboard:
    """``look``: the app's folder of styles, None: the page goes without."""

    def __init__(self, demo: Demo, look: Path | None) -> None:
        self._demo = demo
        self._look = look

    def app(self) -> ASGIApp:
        routes: list[BaseRoute] = [
            Route("/", self.page),
            Route("/state", self.state),
            Route("/switchboard.css", lambda _: FileResponse(_HERE / "switchboard.css")),
            Route("/switchboard.js", lambda _: FileResponse(_HERE / "switchboard.js")),
            Route("/lines/{name}", self.turn, methods=["POST"]),
            Route("/storm", self.storm, methods=["POST"]),
            Route("/calm", self.calm, methods=["POST"]),
            Route("/people", self.people, methods=["POST"]),
            Route("/inbox/{name}", self.inbox),
            Route("/inbox/{name}/{record:int}/{file:int}", self.file),
        ]
        if self._look is not None:
            routes.append(Mount("/static", StaticFiles(directory=self._look)))
        return _Guarded(Starlette(routes=routes))

    async def page(self, request: Request) -> Response:  # noqa: ARG002
        return HTMLResponse(page.switchboard(self._demo, await self._demo.state()))

    async def state(self, request: Request) -> Response:  # noqa: ARG002
        return JSONResponse(await self._demo.state())

    async def turn(self, request: Request) -> Response:
        """``{"mode", "percent"}``"""
        line = self._demo.lines.get(request.path_params["name"])
        if line is None:
            raise HTTPException(404)
        try:
            said = await request.json()
            line.turn(str(said["mode"]), int(said["percent"]))
        except (KeyError, TypeError, ValueError) as wrong:
            raise HTTPException(400) from wrong
        return await self.state(request)

    async def storm(self, request: Request) -> Response:
        self._demo.storm()
        return await self.state(request)

    async def calm(self, request: Request) -> Response:
        self._demo.calm()
        return await self.state(request)

    async def people(self, request: Request) -> Response:
        """``{"working"}``"""
        said = await request.json()
        if isinstance(said, dict) and said.get("working"):
            self._demo.begin()
        else:
            await self._demo.rest()
        return await self.state(request)

    async def inbox(self, request: Request) -> Response:
        bench = self._demo.benches.get(request.path_params["name"])
        if bench is None:
            raise HTTPException(404)
        return HTMLResponse(page.inbox(bench, _NEWEST))

    async def file(self, request: Request) -> Response:
        where = request.path_params
        try:
            record = self._demo.benches[where["name"]].vendor.records[where["record"]]
            _, _, data = record.files[where["file"]]
        except LookupError as error:
            raise HTTPException(404) from error
        kind = next((k for begin, k in _PICTURES.items() if data.startswith(begin)), None)
        headers = {"Content-Security-Policy": "default-src 'none'; sandbox"}
        if kind is None:
            headers["Content-Disposition"] = "attachment"
        return Response(data, media_type=kind or "application/octet-stream", headers=headers)


class _Guarded:
    """Nobody but this page's own person switches anything, though a browser sends from anywhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                added = [(n.lower().encode(), v.encode()) for n, v in _HEADERS.items()]
                message["headers"] = [
                    *message["headers"],
                    *(each for each in added if each[0] not in known),
                ]
            await send(message)

        if scope["type"] == "http" and foreign(Headers(scope=scope), LOOPBACK_NAMES) is not None:
            await Response("Open this page by its own address.", 403)(scope, receive, sent)
            return
        await self._app(scope, receive, sent)
