"""The built app from one folder: right types, right caching, compressed, under its policies."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fieldpost.destinations.direct import dump

from .direct import ASSETS, OVERLAID, Overlay, connect_src
from .problems import Problem
from .settings import Settings

#: Suffix -> media type. The platform's own table is not asked: it differs from host to host.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".py": "text/x-python; charset=utf-8",
    ".svg": "image/svg+xml",
    ".toml": "application/toml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".whl": "application/zip",
    ".woff2": "font/woff2",
    ".zip": "application/zip",
}
_COMPRESSED = frozenset(
    {".css", ".html", ".js", ".json", ".map", ".mjs", ".py", ".svg", ".toml", ".txt", ".wasm"}
    | {".pack", ".webmanifest"}
)
#: Smaller ones fit one packet anyway.
_COMPRESS_FROM_BYTES = 1024
#: 9 gains 1 % over 6 on the wasm and takes twice the time of the first visitor.
_GZIP_LEVEL = 6
#: A name is content-hashed when it carries 8 or more hex digits, letters among them (a date or a
#: version has none): `app-3f9c21ab.js`, `lock.0a1b2c3d.json`.
_HASHED = re.compile(r"[-.](?=[0-9]*[a-f])[0-9a-f]{8,64}\.")


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is served. ``packed``: gzip bytes where that is smaller."""

    stamp: tuple[int, int]
    etag: str
    size: int
    packed: bytes | None


class Site:
    """An ASGI application over ``settings.site``."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.site.resolve() if settings.site else None
        self._page_policy, self._script_policy = policies(settings.direct_origins)
        told = settings.direct
        if told is None and settings.direct_origins:
            told = dump([])
        self._overlay = None if told is None else Overlay(told, settings.direct_origins)
        self._files: dict[Path, File] = {}
        self._locks: dict[Path, asyncio.Lock] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        response = await self.file(request, request.path_params["path"])
        await response(scope, receive, send)

    async def file(self, request: Request, name: str) -> Response:
        """The file of this path. Raises `Problem` NOT_FOUND, METHOD_NOT_ALLOWED."""
        if request.method not in ("GET", "HEAD"):
            raise Problem("METHOD_NOT_ALLOWED", "Only GET.", headers={"Allow": "GET, HEAD"})
        path, stamp = await asyncio.to_thread(self._find, name)
        return await self._response(request, path, await self._file(path, stamp))

    def _find(self, name: str) -> tuple[Path, tuple[int, int]]:
        """The file of a path and its (mtime in ns, size). Raises `Problem` NOT_FOUND."""
        if self._root is None:
            raise Problem("NOT_FOUND", "This gateway serves no app.")
        steps = name.split("/")
        hidden = any(step.startswith(".") for step in steps)
        if hidden or "\x00" in name or "\\" in name:
            raise Problem("NOT_FOUND", "There is no such file.")
        path = self._root.joinpath(*steps)
        if name == "" or name.endswith("/"):
            path /= "index.html"
        path = path.resolve()
        if not path.is_relative_to(self._root) or not path.is_file():
            raise Problem("NOT_FOUND", "There is no such file.")
        stat = path.stat()
        return path, (stat.st_mtime_ns, stat.st_size)

    async def _file(self, path: Path, stamp: tuple[int, int]) -> File:
        lock = self._locks.setdefault(path, asyncio.Lock())
        async with lock:  # the first two visitors do not compress the same wasm twice
            file = self._files.get(path)
            if file is None or file.stamp != stamp:
                file = await asyncio.to_thread(self._load, path, stamp)
                self._files[path] = file
        return file

    async def _response(self, request: Request, path: Path, file: File) -> Response:
        packed = file.packed is not None and _takes_gzip(request.headers.get("accept-encoding", ""))
        # Two representations have two strong tags (RFC 9110 section 8.8.3.3).
        etag = f'"{file.etag}-gz"' if packed else f'"{file.etag}"'
        headers = {
            "ETag": etag,
            "Cache-Control": _cache_control(path.name),
            "Vary": "Accept-Encoding",
            "Last-Modified": email.utils.formatdate(file.stamp[0] / 1e9, usegmt=True),
            "Content-Security-Policy": self._policy(path),
        }
        if _matches(request.headers.get("if-none-match", ""), etag):
            return Response(None, 304, headers)
        headers["Content-Type"] = MEDIA_TYPES.get(path.suffix, "application/octet-stream")
        if packed:
            headers["Content-Encoding"] = "gzip"
            return Response(file.packed, headers=headers)
        body = await asyncio.to_thread(self._bytes, path)
        return Response(body, headers=headers)

    def _bytes(self, path: Path) -> bytes:
        laid = self._laid_over(path)
        return path.read_bytes() if laid is None else laid

    def _laid_over(self, path: Path) -> bytes | None:
        """Instead of the file as built, None where that is served."""
        root = self._root
        name = None if root is None else path.relative_to(root).as_posix()
        if self._overlay is None or root is None or name not in OVERLAID:
            return None
        if not (root / ASSETS).is_file():  # another app than this one
            return None
        return self._overlay.files(lambda other: (root / other).read_bytes())[name]

    def _load(self, path: Path, stamp: tuple[int, int]) -> File:
        laid = self._laid_over(path)
        data = path.read_bytes() if laid is None else laid
        etag = hashlib.sha256(data).hexdigest()[:32]
        packed = None
        if path.suffix in _COMPRESSED and len(data) >= _COMPRESS_FROM_BYTES:
            built = path.with_name(path.name + ".gz")
            # mtime=0: the same file has the same bytes in every process.
            packed = built.read_bytes() if laid is None and _fresh(built, path) else _gzip(data)
            packed = packed if len(packed) < len(data) else None
        return File(stamp, etag, len(data), packed)

    def _policy(self, path: Path) -> str:
        return self._script_policy if path.suffix in (".js", ".mjs") else self._page_policy


def policies(direct_origins: tuple[str, ...]) -> tuple[str, str]:
    """The policies of the page, and of scripts that run as workers (DESIGN section 9).

    PyScript evaluates strings, so its page cannot do with less; a service worker inherits no
    policy, so its own file carries one.
    """
    connect = connect_src(direct_origins)
    page = (
        "default-src 'self'; script-src 'self' 'unsafe-eval'; worker-src 'self' blob:; "
        f"{connect}; img-src 'self' blob: data:; style-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    script = (
        f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; {connect}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return page, script


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, _GZIP_LEVEL, mtime=0)


def _fresh(built: Path, source: Path) -> bool:
    return built.is_file() and built.stat().st_mtime_ns >= source.stat().st_mtime_ns


def _cache_control(name: str) -> str:
    if _HASHED.search(name):
        return "public, max-age=31536000, immutable"
    return "no-cache"  # kept, but asked for again: the ETag answers 304


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether gzip is acceptable (RFC 9110 section 12.5.3)."""
    for choice in accept_encoding.lower().split(","):
        coding, _, weight = choice.partition(";")
        if coding.strip() in ("gzip", "*"):
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return False


def _matches(if_none_match: str, etag: str) -> bool:
    """Weak comparison (RFC 9110 section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags
