"""The served folder holds what it says, all of it, and nothing from elsewhere."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import struct
import tomllib
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tools import assets, lock, vendor, wheels
from tools.paths import ROOT, files_under

PYODIDE = "static/vendor/pyodide"
# DESIGN §9: with less, PyScript does not start. (A meta element cannot say frame-ancestors.)
CSP_MUST_HAVE = (
    "script-src 'self' 'unsafe-eval'",
    "worker-src 'self' blob:",
    "connect-src 'self' blob:",
    "img-src 'self' blob: data:",
    "object-src 'none'",
    "base-uri 'none'",
)


def listed(dist: Path) -> dict[str, assets.Asset]:
    return {asset["url"]: asset for asset in json.loads((dist / "assets.json").read_text())}


class References(HTMLParser):
    """Every URL a page mentions in its markup."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.configs: list[dict[str, object]] = []
        self.csp = ""
        self.inline = ""
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self._in_script = tag in {"script", "style"} and not named.get("src")
        self.found += [v for k, v in attrs if k in {"src", "href"} and v]
        self.configs += [json.loads(v) for k, v in attrs if k == "config" and v]
        if (named.get("http-equiv") or "").lower() == "content-security-policy":
            self.csp = named.get("content") or ""

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.inline += data.strip()


@pytest.fixture(params=["index.html", "static/manage.html"])
def page(dist: Path, request: pytest.FixtureRequest) -> References:
    parser = References()
    parser.feed((dist / request.param).read_text())
    return parser


def test_the_asset_list_is_the_tree(dist: Path) -> None:
    tree = {path.relative_to(dist).as_posix() for path in files_under(dist)}
    assert tree - assets.NOT_LISTED == set(listed(dist))
    for url, asset in listed(dist).items():
        data = (dist / url).read_bytes()
        assert hashlib.sha256(data).hexdigest() == asset["revision"], url
        assert len(data) == asset["bytes"], url


def test_the_service_worker_precaches_the_whole_list(dist: Path) -> None:
    worker = (dist / "service-worker.js").read_text()
    for url, asset in listed(dist).items():
        integrity = base64.b64encode(bytes.fromhex(asset["revision"])).decode()
        assert url in worker
        assert asset["revision"] in worker
        assert f"sha256-{integrity}" in worker


def test_the_hand_written_service_worker_is_short() -> None:
    assert len((ROOT / "service-worker.js").read_text().splitlines()) < 100


def test_our_lock_names_only_our_wheels_with_their_true_hashes(dist: Path) -> None:
    text = json.loads((dist / PYODIDE / "pyodide-lock.json").read_text())
    packages = text["packages"]
    served = {path.name for path in (dist / "static/wheels").iterdir()}
    assert {Path(p["file_name"]).name for p in packages.values()} == served
    assert {"fieldpost", "micropip", "rfc8785"} <= set(packages)
    for package in packages.values():
        wheel = (dist / PYODIDE / package["file_name"]).resolve()
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() == package["sha256"]
        assert set(package["depends"]) <= set(packages)


def test_the_wheel_holds_the_glue_and_no_sources_of_it(dist: Path) -> None:
    (wheel,) = (dist / "static/wheels").glob("fieldpost-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "fieldpost/hosts/browser/glue.js" in names
    assert not [name for name in names if name.endswith(".mjs") or "/js/" in name]
    glue = zipfile.ZipFile(wheel).read("fieldpost/hosts/browser/glue.js")
    assert glue == (dist / "static/vendor/fieldpost-glue.js").read_bytes()


def test_the_wheel_is_the_same_bytes_each_time(dist: Path, tmp_path: Path) -> None:
    (served,) = (dist / "static/wheels").glob("fieldpost-*.whl")
    again = wheels.build_own(tmp_path / "again")
    assert again.path.name == served.name
    assert again.path.read_bytes() == served.read_bytes()


def test_every_dependency_of_the_wheel_is_served(dist: Path) -> None:
    for path in (dist / "static/wheels").iterdir():
        wheel = wheels.Wheel.read(path)
        assert path.name.endswith("-none-any.whl"), "a snapshot holds pure Python only"
        assert wheel.imports


def test_what_the_page_refers_to_is_served_from_here(dist: Path, page: References) -> None:
    assert page.found
    for reference in page.found:
        if reference in (
            "../",
            "../inbox",
        ):  # of the gateway, which serves this page below it
            continue
        assert not re.match(r"^([a-z]+:|/)", reference), f"{reference} is not relative"
        path = reference.split("#")[0].split("?")[0].removeprefix("./")
        assert not path or path in listed(dist) or (dist / path).is_file(), reference


def test_the_page_carries_its_policy_on_any_host(page: References) -> None:
    parts = {part.strip() for part in page.csp.split(";")}
    for wanted in CSP_MUST_HAVE:
        name = wanted.split()[0]
        given = next((part for part in parts if part.split()[:1] == [name]), "")
        assert set(wanted.split()) <= set(given.split()), f"{name}: {given!r}"
    assert "unsafe-inline" not in page.csp


def test_configurations_refer_to_served_files(dist: Path, page: References) -> None:
    assert page.configs
    for values in [tomllib.loads((dist / "pyscript.toml").read_text()), *page.configs]:
        # PyScript takes `interpreter` from the page's folder, as both are.
        assert (dist / values["interpreter"]).is_file(), values
        assert "files" not in values


def test_no_address_in_what_we_write(dist: Path) -> None:
    """Relative URLs only: any sub-path works, and nothing is loaded from elsewhere."""
    vendored = set(vendor.vendored())
    for url in [*listed(dist), "service-worker.js"]:
        path = dist / url
        if url in vendored or path.suffix in {".png", ".whl", ".svg"}:
            continue
        text = path.read_bytes().decode(errors="replace")  # compiled modules hold their texts
        found = {m for m in re.findall(r"\bhttps?://[^\s\"'`)<>]+", text) if not _harmless(m)}
        assert not found, f"{url}: {found}"
        assert "sourceMappingURL" not in text


def _harmless(address: str) -> bool:
    """Names that are never fetched: XML namespaces, Workbox's and jose's hints to developers."""
    known = ("http://www.w3.org/", "https://github.com/", "https://bit.ly/", "http://localhost")
    return address.startswith(known)


def test_the_manifest_makes_it_installable(dist: Path) -> None:
    manifest = json.loads((dist / "manifest.webmanifest").read_text())
    assert manifest["start_url"] == "./"
    assert manifest["scope"] == "./"
    assert manifest["display"] == "standalone"
    sizes = {(icon["sizes"], icon.get("purpose", "any")) for icon in manifest["icons"]}
    for size in ("192x192", "512x512"):
        assert {(size, "any"), (size, "maskable")} <= sizes
    for icon in manifest["icons"]:
        data = (dist / icon["src"]).read_bytes()
        if icon["type"] == "image/png":
            width, height = struct.unpack(">II", data[16:24])
            assert icon["sizes"] == f"{width}x{height}"


def test_the_npm_lock_is_pinned_by_integrity_and_names_no_host() -> None:
    assert lock.problems((ROOT / "package-lock.json").read_text()) == []


def test_a_lock_that_names_a_host_is_refused() -> None:
    text = (ROOT / "package-lock.json").read_text()
    tampered = text.replace('"version"', '"resolved": "https://example.org/x", "version"', 1)
    assert lock.problems(tampered)
    assert lock.problems(lock.tidy(tampered)) == []


def test_the_first_visit_stays_small(dist: Path) -> None:
    """Ceilings with some room: who crosses one should know, and say why here."""
    found = listed(dist)
    plain = sum(asset["bytes"] for asset in found.values())
    packed = sum(len(gzip.compress((dist / url).read_bytes(), 6)) for url in found)
    print(f"first visit: {plain:,} bytes, {packed:,} compressed")
    assert plain < 15_500_000
    assert packed < 7_500_000
