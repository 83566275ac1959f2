"""Bugs of ordering, put into the real code as those of `planted`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

from fieldpost.engine.errors import InvalidItem
from fieldpost.engine.model import Item
from fieldpost.engine.ordering import Links
from fieldpost.engine.transitions import END_STATES, State
from fieldpost.runtime import loop as sync_loop
from fieldpost.runtime import ordering, picking
from fieldpost.runtime.adopt import Intake
from fieldpost.runtime.ordering import _Planner
from fieldpost.runtime.related import check_parents
from fieldpost.stores.memory import MemoryStore
from fieldpost.testing.simulator.loop import PLACE


@contextlib.contextmanager
def next_in_line_forgotten() -> Iterator[None]:
    """Who leaves a line frees nobody: only a row that comes looks at it."""

    def leaves(write: Any) -> bool:
        return real(write) and write.put.item.entity is None

    real = ordering._leaves
    with mock.patch.object(ordering, "_leaves", leaves):
        yield


@contextlib.contextmanager
def several_freed_at_once() -> Iterator[None]:
    """Whoever leaves a line frees all that stand in it, as far as the plan reads."""

    real = _Planner._settle_place

    def settle_place(self: _Planner, item: Item, *, first: bool) -> None:
        waits = item.state is State.BLOCKED and not self._fresh and item.entity is not None
        real(self, item, first=first or waits)

    with mock.patch.object(_Planner, "_settle_place", settle_place):
        yield


@contextlib.contextmanager
def parents_name_in_memory_only() -> Iterator[None]:
    """The parent's id over there is put into the child by the tab that heard it, and not stored."""
    heard: dict[tuple[int, str], str] = {}

    def here() -> int:
        return id(PLACE.get())

    def with_parent(self: Links, parent_id: str, remote_id: str | None) -> Links:
        heard[here(), parent_id] = remote_id or ""
        return replace(self, remote={**self.remote, parent_id: ""})

    def load(data: bytes | None) -> Links:
        links = real(data)
        names = {id_: heard.get((here(), id_), "") for id_ in links.remote}
        return replace(links, remote=names)

    real = Links.load
    with (
        mock.patch.object(Links, "with_parent", with_parent),
        mock.patch.object(Links, "load", load),
    ):
        yield


@contextlib.contextmanager
def handed_over_is_enough() -> Iterator[None]:
    """A child is freed when the gateway has its parent, and nobody knows what becomes of it."""
    done = (State.COMPLETED, State.HANDED_OVER)
    tell = _Planner._tell

    def concerns(self: _Planner, parent: Item, child: Item) -> bool:
        child = self._rows.get(child.id, child)
        if child.state is not State.BLOCKED or parent.id not in child.parents:
            return False
        return parent.state in done or child.on_parent_failed == "cancel"

    def told(self: _Planner, parent: Item, child: Item, cancelled: dict[str, Item]) -> None:
        if parent.state is State.HANDED_OVER:
            parent = parent.changed(state=State.COMPLETED)
        tell(self, parent, child, cancelled)

    with (
        mock.patch.object(ordering, "END_STATES", END_STATES | {State.HANDED_OVER}),
        mock.patch.object(_Planner, "_concerns", concerns),
        mock.patch.object(_Planner, "_tell", told),
    ):
        yield


@contextlib.contextmanager
def edit_loses_the_place() -> Iterator[None]:
    """An edited item is a new one, at the end of its line."""
    real = MemoryStore._row
    late = 1_000_000

    def row(self: MemoryStore, index: int, put: Any, old: Any, sequence: int) -> Any:
        stored = real(self, index, put, old, sequence)
        if old is None or old.item.send_id == put.item.send_id:
            return stored
        return stored._replace(item=stored.item.changed(sequence=old.item.sequence + late))

    with mock.patch.object(MemoryStore, "_row", row):
        yield


@contextlib.contextmanager
def all_children_go_along() -> Iterator[None]:
    """What was to wait for its parent is cancelled with it."""
    real = _Planner._concerns

    def concerns(self: _Planner, parent: Item, child: Item) -> bool:
        return real(self, parent, child.changed(on_parent_failed="cancel"))

    with mock.patch.object(_Planner, "_concerns", concerns):
        yield


@contextlib.contextmanager
def failure_frees_children() -> Iterator[None]:
    """Over is over: a child goes when its parent has ended, however that was."""
    tell = _Planner._tell

    def told(self: _Planner, parent: Item, child: Item, cancelled: dict[str, Item]) -> None:
        tell(self, parent.changed(state=State.COMPLETED), child, cancelled)

    with (
        mock.patch.object(
            _Planner, "_concerns", lambda _s, _p, child: child.state is State.BLOCKED
        ),
        mock.patch.object(_Planner, "_tell", told),
    ):
        yield


@contextlib.contextmanager
def expiry_forgotten() -> Iterator[None]:
    """What expired while it waited is sent all the same."""

    async def none_expired(*_: Any) -> int:
        return 0

    with (
        mock.patch.object(sync_loop, "expire", none_expired),
        mock.patch.object(picking, "expire", none_expired),
    ):
        yield


@contextlib.contextmanager
def saved_parent_not_found() -> Iterator[None]:
    """An empty inbox counts as proof that the parent is not here: it was so until seed 20 showed
    that another tab may have emptied it just now."""

    async def know_parents(self: Intake, writes: Any) -> None:
        if any(write.put.item.parents for write in writes):
            try:
                await check_parents(self._store, writes)
            except InvalidItem:
                if not await self.adopt():
                    raise
                await check_parents(self._store, writes)

    with mock.patch.object(Intake, "_know_parents", know_parents):
        yield


#: Name -> the bug.
PLANTED_ORDER: dict[str, Callable[[], Any]] = {
    "the next in line is forgotten": next_in_line_forgotten,
    "several of a line are freed at once": several_freed_at_once,
    "a parent's id is kept in memory only": parents_name_in_memory_only,
    "a parent that is handed over frees its children": handed_over_is_enough,
    "an edit loses its place": edit_loses_the_place,
    "every child goes with its parent": all_children_go_along,
    "a failed parent frees its children": failure_frees_children,
    "expiry is forgotten": expiry_forgotten,
    "a saved parent is not found": saved_parent_not_found,
}
