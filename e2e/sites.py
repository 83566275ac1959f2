"""Copies of the served folder in which one thing is different, and small helpers around tabs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from e2e.machines import STEP_MS
from playwright.sync_api import Page, Worker
from tools import build, pack
from tools.paths import ROOT

#: Counts how often this context got the drain lock, or stole it, and tells whether it drains now.
WATCH_LOCK = """() => {
  globalThis.LED = 0;
  globalThis.STOLEN = 0;
  globalThis.DRAINING = false;
  const request = LockManager.prototype.request;
  LockManager.prototype.request = function (name, ...rest) {
    const work = rest.pop();
    const watched = (lock) => {
      LED += 1;
      if (rest[0].steal) STOLEN += 1;
      DRAINING = true;
      const ended = work(lock);
      ended.then(() => { DRAINING = false; }, () => { DRAINING = false; });
      return ended;
    };
    return request.call(this, name, ...rest, name.includes(':drain:') ? watched : work);
  };
}"""


def copy_of(site: Path, target: Path) -> Path:
    """A built folder of one's own; `publish` it after a change."""
    shutil.copytree(site, target)
    return target


def edit(path: Path, old: str, new: str) -> None:
    """Put ``new`` in every place of ``old``, of which there is one at least."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edit_app(tree: Path, old: str, new: str) -> None:
    """`edit` for the page's modules, which are compiled: in all that have ``old``."""
    modules = pack.sources(ROOT / pack.APP)
    changed = {name: text.replace(old, new) for name, text in modules.items()}
    assert changed != modules
    (tree / pack.MODULES).write_bytes(pack.packed(changed))


def publish(tree: Path) -> None:
    """Make the list of assets and the service worker anew, as the build does."""
    build.add_service_worker(tree)


def with_engine(site: Path, target: Path, source: str) -> Path:
    """A copy whose engine worker runs ``source``."""
    tree = copy_of(site, target)
    (tree / "py/app/engine.py").write_text(source)
    publish(tree)
    return tree


def engine_of(page: Page) -> Worker:
    """The worker that has the engine, once it is up."""
    for worker in page.workers:
        if worker.evaluate("typeof fieldpostGlue === 'object'"):
            return worker
    raise AssertionError("this page has no engine that is up")


def until(page: Page, condition: Callable[[], bool], ms: float = STEP_MS) -> None:
    """Returns once ``condition`` holds; looks again and again while the page goes on."""
    end = time.monotonic() + ms / 1000
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        page.wait_for_timeout(50)
