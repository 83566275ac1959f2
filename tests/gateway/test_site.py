"""The built app: types, caching, compression, policies; nothing outside its folder."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from tests.gateway.wires import client_of

from gateway.gateway import Gateway

WASM = b"\0asm" + b"\x01\x02\x03\x04" * 5000


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "dist"
    (root / "vendor").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "index.html").write_text("<!doctype html><title>Fieldpost</title>" + " " * 2000)
    (root / "service-worker.js").write_text("// precache" + " " * 2000)
    (root / "pyscript.toml").write_text("packages = []")
    (root / "manifest.webmanifest").write_text("{}")
    (root / "data.json").write_text("{}")
    (root / "icon.svg").write_text("<svg/>")
    (root / "odd.bin").write_bytes(b"\0" * 5000)
    (root / "vendor" / "pyodide.mjs").write_text("export {}")
    (root / "vendor" / "pyodide.asm.wasm").write_bytes(WASM)
    (root / "vendor" / "app-3f9c21ab.js").write_text("1")
    (root / "vendor" / "lock.0a1b2c3d4e.json").write_text("{}")
    (root / "vendor" / "notes-20240101.js").write_text("1")
    (root / "fieldpost-0.1.0-py3-none-any.whl").write_bytes(b"PK" + b"\0" * 5000)
    (root / ".hidden" / "secret").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    return root


@pytest.fixture
async def served(
    open_gateway: Callable[..., Gateway], site: Path
) -> AsyncIterator[httpx.AsyncClient]:
    gateway = open_gateway(site=site, direct_origins=("https://desk.example",))
    async with client_of(gateway) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/service-worker.js", "text/javascript; charset=utf-8"),
        ("/pyscript.toml", "application/toml; charset=utf-8"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/data.json", "application/json"),
        ("/icon.svg", "image/svg+xml"),
        ("/odd.bin", "application/octet-stream"),
        ("/vendor/pyodide.mjs", "text/javascript; charset=utf-8"),
        ("/vendor/pyodide.asm.wasm", "application/wasm"),
        ("/fieldpost-0.1.0-py3-none-any.whl", "application/zip"),
    ],
)
async def test_types(served: httpx.AsyncClient, path: str, media_type: str) -> None:
    response = await served.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type


@pytest.mark.parametrize(
    ("path", "for_ever"),
    [
        ("/", False),
        ("/service-worker.js", False),
        ("/pyscript.toml", False),
        ("/data.json", False),
        ("/manifest.webmanifest", False),
        ("/vendor/pyodide.asm.wasm", False),
        ("/fieldpost-0.1.0-py3-none-any.whl", False),
        ("/vendor/notes-20240101.js", False),
        ("/vendor/app-3f9c21ab.js", True),
        ("/vendor/lock.0a1b2c3d4e.json", True),
    ],
)
async def test_only_hashed_names_are_kept(
    served: httpx.AsyncClient, path: str, for_ever: bool
) -> None:
    expected = "public, max-age=31536000, immutable" if for_ever else "no-cache"
    assert (await served.get(path)).headers["cache-control"] == expected


async def test_an_unchanged_file_is_not_sent_again(served: httpx.AsyncClient, site: Path) -> None:
    path = "/vendor/pyodide.asm.wasm"
    plain = await served.get(path, headers={"Accept-Encoding": "identity"})
    packed = await served.get(path, headers={"Accept-Encoding": "br, gzip"})
    assert plain.content == packed.content == WASM
    assert plain.headers["etag"] != packed.headers["etag"]
    for response, coding in ((plain, "identity"), (packed, "gzip")):
        for tag in (response.headers["etag"], f'"x", W/{response.headers["etag"]}', "*"):
            again = await served.get(
                path, headers={"Accept-Encoding": coding, "If-None-Match": tag}
            )
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == response.headers["etag"]
    changed = site / "vendor" / "pyodide.asm.wasm"
    changed.write_bytes(WASM + b"!")
    after = await served.get(path, headers={"If-None-Match": packed.headers["etag"]})
    assert (after.status_code, after.content) == (200, WASM + b"!")


@pytest.mark.parametrize(
    ("path", "accept", "packed"),
    [
        ("/", "gzip", True),
        ("/", "gzip;q=0.5", True),
        ("/", "*", True),
        ("/", "gzip;q=0", False),
        ("/", "br", False),
        ("/", "", False),
        ("/vendor/pyodide.asm.wasm", "gzip, deflate, br", True),
        ("/odd.bin", "gzip", False),
        ("/fieldpost-0.1.0-py3-none-any.whl", "gzip", False),
        ("/data.json", "gzip", False),
    ],
)
async def test_text_and_wasm_are_compressed(
    served: httpx.AsyncClient, path: str, accept: str, packed: bool
) -> None:
    response = await served.get(path, headers={"Accept-Encoding": accept})
    assert (response.headers.get("content-encoding") == "gzip") == packed
    assert response.headers["vary"] == "Accept-Encoding"


async def test_what_the_build_compressed_is_used(served: httpx.AsyncClient, site: Path) -> None:
    source = site / "service-worker.js"
    built = site / "service-worker.js.gz"
    built.write_bytes(gzip.compress(source.read_bytes(), 9, mtime=7))
    response = await served.get("/service-worker.js")
    assert int(response.headers["content-length"]) == built.stat().st_size
    assert response.content == source.read_bytes()
    source.write_text("// newer" + " " * 2000)
    later = source.stat().st_mtime_ns + 10**9
    os.utime(source, ns=(later, later))
    assert (await served.get("/service-worker.js")).text.startswith("// newer")


async def test_policies(served: httpx.AsyncClient) -> None:
    page = (await served.get("/")).headers["content-security-policy"]
    assert "script-src 'self' 'unsafe-eval'" in page
    assert "worker-src 'self' blob:" in page
    assert "connect-src 'self' blob: https://desk.example" in page
    assert "img-src 'self' blob: data:" in page
    worker = (await served.get("/service-worker.js")).headers["content-security-policy"]
    assert "script-src 'self' 'wasm-unsafe-eval'" in worker
    assert "'unsafe-eval'" not in worker.replace("'wasm-unsafe-eval'", "")
    for policy in (page, worker):
        assert "base-uri 'none'" in policy
        assert "unsafe-inline" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/vendor/..%2f..%2foutside.txt",
        "/link.txt",
        "/.hidden/secret",
        "/vendor",
        "/vendor/",
        "/..%5coutside.txt",
        "/a%00b",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
    ],
)
async def test_nothing_outside_is_served(served: httpx.AsyncClient, path: str) -> None:
    response = await served.get(path)
    assert response.status_code == 404
    assert "secret" not in response.text


async def test_head_and_no_site(
    served: httpx.AsyncClient, open_gateway: Callable[..., Gateway]
) -> None:
    assert (await served.head("/")).status_code == 200
    async with client_of(open_gateway()) as bare:
        assert (await bare.get("/")).status_code == 404
