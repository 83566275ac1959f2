"""What every page does: shows the screen of the address, asks again what it knows, once for many
changes, and keeps what runs beside it."""

import asyncio

from app import dom
from app.notes import Notes
from app.views import status as status_view

#: The views ask again at most this often however fast things change.
REFRESH_EVERY_MS = 150


class Page:
    """`screens` are its names, in order; it has a `state`, `show`, `_load` and `_route`."""

    screens = ()

    def __init__(self):
        self.made = {}
        self.notes = Notes(self._show_notes, self.task)
        self._screen = None
        self._dirty = False
        self._refreshing = False
        self._tasks = []

    def task(self, coroutine):
        """Run beside everything else; the reference is kept while it runs."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(coroutine))

    def _show_notes(self):
        dom.show("notes", status_view.notes(self.notes.items))

    def _show_badge(self, name, number):
        dom.show(name + "-badge", [str(number)] if number else [])

    def navigate(self):
        """Show the screen of the address."""
        screen, view = self._route(dom.location_hash())
        for name in self.screens:
            dom.reveal("view-" + name, name == screen)
        dom.mark_all("nav a", "aria-current", "#" + screen)
        self._turned(screen, view)
        if screen == "outbox":
            self.outbox.choose(view)
            dom.mark_all(".views a", "aria-current", "#outbox/" + view)
        moved = self._screen not in (None, screen)
        self._screen = screen
        self.show()
        self.refresh_soon()
        if moved:
            dom.focus("main")

    def _turned(self, screen, view):
        """To this one, before anything of it is shown."""

    def refresh_soon(self):
        """Something changed: ask again, once for many."""
        self._dirty = True
        if not self._refreshing:
            self._refreshing = True
            self.task(self._refresh())

    async def _refresh(self):
        try:
            while self._dirty:
                self._dirty = False
                await self._load()
                self.show()
                await asyncio.sleep_ms(REFRESH_EVERY_MS)
        finally:
            self._refreshing = False
