"""A browser's storage that fails, in a page and in its worker, in the ways it really does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from e2e.sites import engine_of
from playwright.sync_api import Page

#: `fault` is what goes wrong in this context, "" nothing:
#: put: a write is refused with an UnknownError, as where the disk under it fails
#: abort: the write is taken, then the transaction aborts
#: lost: no transaction opens any more (InvalidStateError, as after the connection was lost)
#: lied: the transaction lands, and yet an error is reported
#: silent: the transaction lands, and nothing is ever reported
#: open: no database opens (UnknownError, as where its files are damaged)
FAULTY = """() => {
  if (globalThis.breakStorage) return;
  globalThis.fault = '';
  globalThis.breakStorage = (how) => { globalThis.fault = how; };
  const failure = (name) => new DOMException('Internal error.', name);
  const writes = (tx) => tx.mode === 'readwrite';
  for (const name of ['put', 'add']) {
    const real = IDBObjectStore.prototype[name];
    IDBObjectStore.prototype[name] = function (...given) {
      if (fault === 'put') throw failure('UnknownError');
      const request = real.apply(this, given);
      if (fault === 'abort') this.transaction.abort();
      return request;
    };
  }
  const transaction = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (...given) {
    if (fault === 'lost' || fault === 'open') throw failure('InvalidStateError');
    return transaction.apply(this, given);
  };
  const open = IDBFactory.prototype.open;
  IDBFactory.prototype.open = function (...given) {
    if (fault === 'open' || fault === 'lost') throw failure('UnknownError');
    return open.apply(this, given);
  };
  const listen = IDBTransaction.prototype.addEventListener;
  IDBTransaction.prototype.addEventListener = function (kind, heard, ...rest) {
    const tell = (event) => {
      if (fault === 'silent' && writes(this)) return;
      if (fault === 'lied' && writes(this)) this.dispatchEvent(new Event('abort'));
      else heard.call(this, event);
    };
    return listen.call(this, kind, kind === 'complete' ? tell : heard, ...rest);
  };
}"""


def break_engine(page: Page, how: str) -> None:
    """The engine's own storage fails as well."""
    worker = engine_of(page)
    worker.evaluate(FAULTY)
    worker.evaluate("(how) => breakStorage(how)", how)


def break_storage(page: Page, how: str) -> None:
    """From now on, in this page (made faulty by `FAULTY` before it loaded)."""
    page.evaluate("(how) => breakStorage(how)", how)


@contextmanager
def asked_before_leaving(page: Page) -> Iterator[list[str]]:
    """Stays when the browser asks; the types of its questions, in the end."""
    asked: list[str] = []

    def stay(dialog: object) -> None:
        asked.append(dialog.type)  # type: ignore[attr-defined]
        dialog.dismiss()  # type: ignore[attr-defined]

    page.on("dialog", stay)
    yield asked
    page.remove_listener("dialog", stay)
