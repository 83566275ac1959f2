"""The contract of `ports.Store`, as plain functions: the same ones run on every store.

Each case is ``async def case_…(store, reopen)``. ``store`` is new and empty. ``reopen()`` closes
the latest store, drops whatever was only in memory and gives a new one on the same durable data and
keys; the one before must not be used afterwards. A case that returns has passed; one that does not
raises `AssertionError`. Nothing but fieldpost and the standard library is imported, so the cases
also run in a browser, against IndexedDB:

    for name, case in CASES.items():
        store, reopen = await fresh_store()
        await case(store, reopen)
"""

from __future__ import annotations

from . import commits, inbox, lines, preconditions, queries, removals
from .support import Case, Reopen

_MODULES = (preconditions, commits, queries, lines, inbox, removals)

#: name -> case, in the order written.
CASES: dict[str, Case] = {
    name.removeprefix("case_"): value
    for module in _MODULES
    for name, value in vars(module).items()
    if name.startswith("case_")
}

__all__ = ["CASES", "Case", "Reopen"]
