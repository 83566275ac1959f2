"""Files on a form, in the browser's storage, and at the gateway."""

from __future__ import annotations

import html
import random
import re
from pathlib import Path

import httpx
from e2e.machines import BOOT_MS, Gateway, wait_until
from playwright.sync_api import Locator, Page, expect

from fieldpost.testing.faultproxy import FaultProxy, Seen

MIB = 1024 * 1024

#: (store) -> the keys in it; 16 bytes are a UUID (docs/formats.md).
KEYS = """(store) => new Promise((resolve, reject) => {
  const plain = (key) => !(key instanceof ArrayBuffer) ? key
    : [...new Uint8Array(key)].map((n) => n.toString(16).padStart(2, '0')).join('')
      .replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
  const opening = indexedDB.open('fieldpost');
  opening.onerror = () => reject(opening.error);
  opening.onsuccess = () => {
    const asking = opening.result.transaction(store).objectStore(store).getAllKeys();
    asking.onsuccess = () => { opening.result.close(); resolve(asking.result.map(plain)); };
    asking.onerror = () => reject(asking.error);
  };
})"""

#: () -> the attachments of the ticket's draft.
DRAFTED = """() => new Promise((resolve) => {
  const opening = indexedDB.open('fieldpost');
  opening.onsuccess = () => {
    const asking = opening.result.transaction('drafts').objectStore('drafts').get('ticket');
    asking.onsuccess = () => { opening.result.close(); resolve(asking.result?.attachments ?? []); };
  };
})"""

#: The page's glue reads a file in slices: hold it back before the one that is named here.
GATE = """(first) => {
  const { arrayBuffer } = Blob.prototype;
  let read = 0;
  const gate = new Promise((open) => { window.openTheGate = open; });
  window.atTheGate = new Promise((arrived) => {
    Blob.prototype.arrayBuffer = async function () {
      read += 1;
      if (read >= first) { arrived(); await gate; }
      return arrayBuffer.call(this);
    };
  });
}"""


def some_bytes(path: Path, size: int, seed: int = 1) -> Path:
    """A file that no compression makes smaller, the same for the same seed."""
    chance = random.Random(seed)
    with path.open("wb") as file:
        while (left := size - file.tell()) > 0:
            file.write(chance.randbytes(min(left, MIB)))
    return path


def form_ready(page: Page) -> None:
    """The app listens and its storage is open: a chosen file would be taken."""
    page.locator("html[data-app=ready]").wait_for(timeout=BOOT_MS)
    wait_until(page, "async () => window.fieldpostGlue && fieldpostGlue.open('fieldpost')")


def choose(page: Page, *paths: Path) -> None:
    form_ready(page)
    page.get_by_label("Attachments", exact=True).set_input_files([str(path) for path in paths])


def chosen(page: Page, name: str) -> Locator:
    files = page.get_by_role("list", name="Chosen files")
    return files.get_by_role("listitem").filter(has_text=name)


def expect_stored(page: Page, *names: str) -> None:
    """Sealed on this device: each shows its size and no bar any more."""
    for name in names:
        expect(chosen(page, name)).to_be_visible()
        expect(chosen(page, name).get_by_role("progressbar")).to_have_count(0, timeout=BOOT_MS)
        expect(chosen(page, name)).not_to_have_class(re.compile("bad"))


def blobs(page: Page) -> list[list[str | int]]:
    """Keys [attachment id, n] of what is stored; n = 0 is the manifest."""
    keys: list[list[str | int]] = page.evaluate(KEYS, "blobs")
    return keys


def wait_for_keys(page: Page, store: str, count: int) -> None:
    wait_until(page, f"async () => (await ({KEYS})('{store}')).length === {count}")


def item_ids(page: Page) -> list[str]:
    ids: list[str] = page.evaluate(KEYS, "items")
    return ids


def arrived_files(gateway: Gateway, reference: str = "FP-000001") -> dict[str, bytes]:
    """Name -> bytes, downloaded as a person does from the inbox."""
    page = httpx.get(f"{gateway.url}inbox/{reference}")
    page.raise_for_status()
    links = re.findall(r'<a href="([^"]+)" download>(?:<img[^>]*>)?([^<]+)</a>', page.text)
    found = {}
    for address, name in links:
        file = httpx.get(f"{gateway.url}inbox/{address}")
        file.raise_for_status()
        found[html.unescape(name)] = file.content
    return found


def part_number(seen: Seen) -> int:
    return int(seen.path.rsplit("/", 1)[1])


def parts_sent(line: FaultProxy) -> list[Seen]:
    """Every request that carried a part, in order."""
    return [s for s in list(line.seen) if s.method == "PUT" and "/attachments/" in s.path]


def wait_for_parts(line: FaultProxy, count: int) -> None:
    """Until so many parts were answered."""
    assert line.wait_until(
        lambda: len([s for s in parts_sent(line) if s.status == 200]) >= count, 2 * BOOT_MS / 1000
    )
