"""The store contract on IndexedDB, and the other ports, inside Pyodide in a worker of Chromium."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route
from tools.paths import ROOT

from fieldpost.testing.storecontract import CASES

from .conftest import Site

#: Shared with the tests of SQLite; in_browser.py imports it.
UPGRADING = "tests/contract/upgrading.py"


def library(glue_js: Path) -> bytes:
    """The library's sources with the glue in their place, its one dependency, and our functions."""
    found = importlib.util.find_spec("rfc8785")
    assert found is not None
    assert found.origin is not None
    packages = {"fieldpost": ROOT / "py/fieldpost", "rfc8785": Path(found.origin).parent}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, folder in packages.items():
            for path in sorted(folder.rglob("*.py")):
                archive.write(path, f"{name}/{path.relative_to(folder)}")
        archive.write(glue_js, "fieldpost/hosts/browser/glue.js")
        archive.write(Path(__file__).parent / "in_browser.py", "in_browser.py")
        archive.write(ROOT / UPGRADING, UPGRADING)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pyodide(chromium: Browser, site: Site, glue_js: Path) -> Iterator[Page]:
    """A page whose ``run(name, ...)`` calls a function of in_browser.py."""
    context = chromium.new_context()
    body = library(glue_js)

    def answer(route: Route) -> None:
        route.fulfill(body=body, content_type="application/zip")

    context.route("**/library.zip", answer)
    page = context.new_page()
    page.goto(f"{site.url}/page/contract.html")
    yield page
    context.close()


@pytest.mark.parametrize("case", CASES)
def test_contract(pyodide: Page, case: str) -> None:
    assert pyodide.evaluate("case_ => run('contract', case_)", case) == ""


def test_requests(pyodide: Page, site: Site) -> None:
    """Every end of a request has its own name; a redirect is not followed."""
    answers = json.loads(pyodide.evaluate("site => run('requests', site)", site.url))
    site.released.set()
    assert answers == {
        "echo": [201, "yes", 2],
        "redirect": [302, True],
        "part": [1000, "sha-256=:RPg1RJSlugO6F5Ko0+nFNMR6kYGYD956P0SwbvKufH8=:"],
        "timeout": "timeout",
        "cut": "network",
        "refused": "network",
        "missing part": "QUEUE_ATTACHMENT_UNREADABLE",
        "cancelled": True,
    }


def test_the_small_ports(pyodide: Page) -> None:
    assert json.loads(pyodide.evaluate("run('ports')")) == {
        "heard": [False],
        "led": [False, False, True],
        "rescued": True,
        "ids": 1000,
        "fractions": True,
        "slept": True,
    }


def test_no_proxy_is_left_alive(pyodide: Page) -> None:
    """After a thousand commits and reads neither side holds more of the other."""
    first, second = json.loads(pyodide.evaluate("run('proxies_left', 1000)"))
    assert second == first


#: A database as an older version made it: frozen, whatever the glue does today.
OPEN_OLD = """async ([name, { version, schema, stores }]) => {
  const asked = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const revive = async (value) => {
    if (Array.isArray(value)) return Promise.all(value.map(revive));
    if (!value || typeof value !== "object") return value;
    if ("$bytes" in value) return bytes(value.$bytes);
    if ("$key" in value) {
      return crypto.subtle.importKey("raw", bytes(value.$key), "AES-KW", false, ["wrapKey", "unwrapKey"]);
    }
    const entries = await Promise.all(Object.entries(value).map(async ([k, v]) => [k, await revive(v)]));
    return Object.fromEntries(entries);
  };
  const revived = await revive(stores);
  const opening = indexedDB.open(name, version);
  opening.onupgradeneeded = () => {
    for (const [store, { keyPath, autoIncrement, indexes }] of Object.entries(schema)) {
      const made = opening.result.createObjectStore(store, { keyPath, autoIncrement });
      for (const [index, path, options] of indexes) made.createIndex(index, path, options);
    }
  };
  window.old = await asked(opening);
  const tx = window.old.transaction(Object.keys(stores), "readwrite");
  for (const [store, rows] of Object.entries(revived)) {
    for (const [key, value] of rows) tx.objectStore(store).put(value, ...(key === null ? [] : [key]));
  }
  await new Promise((resolve, reject) => { tx.oncomplete = resolve; tx.onabort = () => reject(tx.error); });
}"""


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_database_of_an_older_version_is_upgraded_and_delivered(
    pyodide: Page, version: str
) -> None:
    """Invariant 9, known failure 12: no row is lost to the upgrade, and an old tab that holds the
    database open is told to let go. What else holds: tests/contract/upgrading.py."""
    told = json.loads((ROOT / f"tests/fixtures/{version}/indexeddb.json").read_text())
    name = f"frozen-{version}"
    pyodide.evaluate(OPEN_OLD, [name, told["database"]])
    # The old tab lets go when it is asked to, as its version does.
    pyodide.evaluate(
        "{ old.onversionchange = () => { old.close(); window.let_go = old.name; }; undefined }"
    )
    ran = "([name, told]) => run('upgraded', name, JSON.stringify(told))"
    assert pyodide.evaluate(ran, [name, told]) == ""
    assert pyodide.evaluate("window.let_go") == name
