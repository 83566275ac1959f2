"""Rescue files on CPython: JWE lines (RFC 7516, docs/formats.md section 7) through jwcrypto."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from jwcrypto import jwa, jwe, jwk
from jwcrypto.common import JWException

from fieldpost.engine.errors import AttachmentUnreadable, RescueUnreadable
from fieldpost.ports import Manifest, Store

#: PBKDF2-HMAC-SHA-512 rounds, as much as OWASP asks of SHA-256 and more than it asks of SHA-512.
ROUNDS = 600_000
#: A file asking for more is refused: it would only burn time. (The glue's bound is the same; the
#: library's own, 16,384, is below every recommendation of today and applies to sealing too.)
ROUNDS_MAX = 2_000_000
jwa.default_max_pbkdf2_iterations = ROUNDS_MAX
_PASSPHRASE = {"alg": "PBES2-HS512+A256KW", "enc": "A256GCM", "cty": "fieldpost-rescue+1"}
_DIRECT = {"alg": "dir", "enc": "A256GCM"}


class RescueFiles:
    """`runtime.rescue.RescueBox` with files in ``folder``; URLs are ``file:`` URLs."""

    def __init__(self, store: Store, folder: Path):
        self._store = store
        self._folder = folder

    async def write(self, passphrase: str, lines: list[str]) -> str:
        """A new file of mode 0600, written as it is sealed. Raises `AttachmentUnreadable`."""
        path = self._folder / f"fieldpost-rescue-{secrets.token_hex(4)}.txt"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            key = secrets.token_bytes(32)
            opening = {"version": 1, "at": time.time_ns() // 1_000_000, "key": _b64url(key)}
            # 600,000 rounds take a while: not on the event loop.
            file.write(await asyncio.to_thread(_seal_opening, passphrase, opening) + "\n")
            seal = _Direct(key)
            parts = 0
            for line in lines:
                file.write(seal(line) + "\n")
                async for record in self._files_of(json.loads(line)):
                    parts += record["type"] == "part"
                    file.write(seal(json.dumps(record)) + "\n")
            end = {"type": "end", "items": len(lines), "parts": parts}
            file.write(seal(json.dumps(end)) + "\n")
        return path.as_uri()

    async def read(self, passphrase: str, url: str) -> list[str]:
        """The item lines; attachments are stored. Raises `RescueUnreadable`, also for a file whose
        end is missing, before anything is taken over."""
        path = Path(unquote(urlsplit(url).path))
        try:
            records = await asyncio.to_thread(_open_all, passphrase, path)
        except (OSError, ValueError, KeyError, JWException) as error:
            raise RescueUnreadable from error
        items = [text for kind, text in records if kind == "item"]
        for kind, text in records:
            if kind in ("manifest", "part"):
                await self._take_file(json.loads(text))
        return items

    async def _files_of(self, item: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        for attachment in item["attachments"]:
            manifest = await self._store.manifest(attachment["id"])
            if manifest is None:
                raise AttachmentUnreadable
            yield {
                "type": "manifest",
                "id": manifest.id,
                "name": manifest.name,
                "mime": manifest.type,
                "size": manifest.size,
                "sha256": list(manifest.sha256),
                "at": manifest.at,
            }
            for n in range(1, attachment["parts"] + 1):
                data = await self._store.part(attachment["id"], n)
                if data is None:
                    raise AttachmentUnreadable
                encoded = base64.b64encode(data).decode()
                yield {"type": "part", "attachment_id": attachment["id"], "n": n, "data": encoded}

    async def _take_file(self, record: dict[str, Any]) -> None:
        if record["type"] == "part":
            data = base64.b64decode(record["data"])
            await self._store.put_part(record["attachment_id"], record["n"], data)
            return
        manifest = Manifest(
            record["id"],
            record["name"],
            record["mime"],
            record["size"],
            tuple(record["sha256"]),
            record["at"],
        )
        await self._store.put_manifest(manifest)


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _Direct:
    """Seals lines under the file's own key (``alg: dir``)."""

    def __init__(self, key: bytes):
        self._key = jwk.JWK(kty="oct", k=_b64url(key))

    def __call__(self, text: str) -> str:
        token = jwe.JWE(text.encode(), json.dumps(_DIRECT))
        token.add_recipient(self._key)
        return str(token.serialize(compact=True))

    def open(self, line: str) -> bytes:
        token = jwe.JWE(algs=["dir", "A256GCM"])
        token.deserialize(line, self._key)
        return bytes(token.payload)


def _seal_opening(passphrase: str, opening: dict[str, Any]) -> str:
    # A salt and a count of its own: the library's default count is a tenth of this.
    salt = _b64url(secrets.token_bytes(16))
    header = {**_PASSPHRASE, "p2c": ROUNDS, "p2s": salt}
    token = jwe.JWE(json.dumps(opening).encode(), json.dumps(header))
    token.add_recipient(jwk.JWK.from_password(passphrase))
    return str(token.serialize(compact=True))


def _open_all(passphrase: str, path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="ascii") as file:
        first = file.readline().strip()
        opening = jwe.JWE(algs=["PBES2-HS512+A256KW", "A256GCM"])
        opening.deserialize(first, jwk.JWK.from_password(passphrase))
        head = json.loads(opening.payload)
        if head["version"] != 1:
            raise ValueError("a rescue file of a later version")
        key = base64.urlsafe_b64decode(head["key"] + "=" * (-len(head["key"]) % 4))
        records = list(_opened(_Direct(key), file))
    kinds = [kind for kind, _ in records]
    end = json.loads(records[-1][1]) if records and kinds[-1] == "end" else {}
    if (end.get("items"), end.get("parts")) != (kinds.count("item"), kinds.count("part")):
        raise ValueError("the file's end is missing")
    return records


def _opened(direct: _Direct, lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if line.strip():
            text = direct.open(line.strip()).decode()
            yield json.loads(text)["type"], text
