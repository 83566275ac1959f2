"""The transport for ``file:`` URLs: what `fieldpost.destinations.file` asks for, done on a disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import tempfile
import time
from io import BufferedWriter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from fieldpost.destinations.file import LINE, SERVICE
from fieldpost.engine.errors import AttachmentUnreadable
from fieldpost.engine.record import dump
from fieldpost.ports import NoAnswer, Request, Response, Store, Upload

from .linefile import Appended, Key, LineFile, sync_folder

_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNDER_WAY = ".under-way-"
#: A file half written by a process that died is taken away after this.
_LEFT_OVER_S = 24 * 3600


class FileSink:
    """Appends to files in ``root`` and below, and to no others. Several processes may. ``store``:
    where attachments are read from, None where there are none.

    Answers as a server would: 200 with ``written`` and ``known`` keys, 403 outside ``root``, 507
    for a full disk, 500 for any other trouble with the file.
    """

    def __init__(self, store: Store | None, root: Path):
        self._store = store
        self._root = root.resolve()
        self._files: dict[Path, LineFile] = {}
        self._turn = asyncio.Lock()

    async def send(self, request: Request) -> Response:
        path = self._path(request.url)
        if path is None:
            return _OUTSIDE
        if request.method == "POST":
            lines = [(_key(line), line) for line in request.body.split(b"\n") if line]
            return await self._append(path, lines)
        asked = parse_qs(urlsplit(request.url).query)
        keys = set(zip(asked.get("id", []), asked.get("send_id", []), strict=False))
        try:
            async with self._turn:
                known = await asyncio.to_thread(self._file(path).find, keys)
        except OSError as error:
            return _trouble(error)
        return _done(Appended([], sorted(known)))

    async def send_part(self, request: Request, attachment_id: str, n: int) -> Response:  # noqa: ARG002
        raise NoAnswer("network", sent=False)  # it takes whole files

    async def send_file(self, upload: Upload) -> Response:
        path = self._path(upload.request.url)
        if path is None:
            return _OUTSIDE
        folder = path.with_name(path.name + ".files")
        try:
            digest = await self._keep(upload, folder)
        except OSError as error:
            return _trouble(error)
        line: dict[str, Any] = json.loads(upload.request.headers[LINE])
        line["payload"] |= {"sha256": digest, "path": f"{folder.name}/{digest}"}
        return await self._append(path, [((line["id"], line["send_id"]), dump(line))])

    # --- helpers ---------------------------------------------------------------------------------

    async def _append(self, path: Path, lines: list[tuple[Key, bytes]]) -> Response:
        try:
            async with self._turn:
                return _done(await asyncio.to_thread(self._file(path).append, lines))
        except OSError as error:
            return _trouble(error)

    async def _keep(self, upload: Upload, folder: Path) -> str:
        """Write the attachment under its hash, durably; the hash. Raises `AttachmentUnreadable`,
        having kept nothing."""
        await asyncio.to_thread(_folder, folder)
        digest = hashlib.sha256()
        descriptor, name = tempfile.mkstemp(prefix=_UNDER_WAY, dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for n in range(1, upload.parts + 1):
                    store, id_ = self._store, upload.attachment_id
                    data = None if store is None else await store.part(id_, n)
                    if data is None:
                        raise AttachmentUnreadable
                    digest.update(data)
                    await asyncio.to_thread(file.write, data)
                if file.tell() != upload.size:
                    raise AttachmentUnreadable
                await asyncio.to_thread(_sync, file)
            place = folder / digest.hexdigest()
            os.replace(name, place)  # the same bytes, if it was there
            await asyncio.to_thread(sync_folder, folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        return digest.hexdigest()

    def _file(self, path: Path) -> LineFile:
        return self._files.setdefault(path, LineFile(path))

    def _path(self, url: str) -> Path | None:
        parts = urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
            return None
        path = Path(unquote(parts.path)).resolve()
        return path if path.is_relative_to(self._root) and path != self._root else None


def _folder(folder: Path) -> None:
    """Make it, and take away what processes that died left in it."""
    try:
        folder.mkdir(mode=0o700)
        sync_folder(folder.parent)
    except FileExistsError:
        long_ago = time.time() - _LEFT_OVER_S
        for left in folder.glob(_UNDER_WAY + "*"):
            if left.stat().st_mtime < long_ago:
                left.unlink(missing_ok=True)


def _sync(file: BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())


def _key(line: bytes) -> Key:
    value = json.loads(line)
    return value["id"], value["send_id"]


def _done(appended: Appended) -> Response:
    return _answer(200, {"service": SERVICE, "written": appended.written, "known": appended.known})


def _trouble(error: OSError) -> Response:
    status = 507 if error.errno in _FULL else 500
    code = "NO_SPACE" if status == 507 else "FILE_ERROR"
    return _answer(status, {"code": code, "detail": os.strerror(error.errno or errno.EIO) + "."})


def _answer(status: int, value: dict[str, Any]) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())


_OUTSIDE = _answer(
    403, {"code": "OUTSIDE", "detail": "The file is not in the folder that may be written."}
)
