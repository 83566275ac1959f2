"""The page of a gateway: the app's screens on the gateway's own queue, with what is behind it and
the devices before it. Nothing of this device's own is opened or sent."""

import asyncio

from app import device as device_module
from app import dom, events, later, model
from app.engine_client import EngineError
from app.notes import Notes
from app.remote import RemoteEngine
from app.views import manage as view
from app.views import status as status_view

SCREENS = ("outbox", "attention", "settings", "destinations", "devices")
#: Looked at this often while somebody looks; each look is a few reads of counters and one page.
POLL_MS = 2000
REFRESH_EVERY_MS = 150


class Manage:
    """One page. `state` is all that the views see, as in `app.shell.App`."""

    outbox = later.part(later.outbox)
    asking = later.part(later.asking)
    attention = later.part(later.attention)
    settings = later.part(later.settings)
    destinations = later.part(later.destinations)
    devices = later.part(later.devices)

    def __init__(self):
        self.state = {
            "now": device_module.now(),
            "online": True,  # a gateway on this computer needs no network
            "engine": "starting",
            "engine_error": "",
            "status": None,
            "counts": None,
            "catalogue": None,
            "outbox": model.new_box("waiting"),
            "attention": model.new_box("attention"),
            "settings": None,
            "held": {},
            "kept": [],
            "gateway": None,
            "destinations": None,
            "tests": {},
            "devices": None,
        }
        self.state["attention"].update({"told": None, "chosen": []})
        self.forms = {}
        self.made = {}
        self.notes = Notes(self._show_notes, self.task)
        self.engine = RemoteEngine("./queue", self._engine)
        self._screen = None
        self._dirty = False
        self._refreshing = False
        self._tasks = []

    def start(self):
        dom.through(lambda node: view.at_gateway(node, self.state))
        events.listen(self)
        self.navigate()
        dom.ready()
        self.task(self._poll())

    def task(self, coroutine):
        """Run beside everything else; the reference is kept while it runs."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(coroutine))

    # Showing

    def show(self):
        state = self.state
        state["now"] = device_module.now()
        dom.show("status", view.line(state))
        dom.show("where", view.where(state))
        dom.show("banners", view.banners(state))
        for name, number in (
            ("outbox", model.waiting(state)),
            ("attention", model.attention(state)),
        ):
            dom.show(name + "-badge", [str(number)] if number else [])
        getattr(self, self._screen).show()

    def _show_notes(self):
        dom.show("notes", status_view.notes(self.notes.items))

    def navigate(self):
        """Show the screen of the address."""
        screen, chosen = view.route(dom.location_hash())
        for name in SCREENS:
            dom.reveal("view-" + name, name == screen)
        dom.mark_all("nav a", "aria-current", "#" + screen)
        if screen == "outbox":
            self.outbox.choose(chosen)
            dom.mark_all(".views a", "aria-current", "#outbox/" + chosen)
        moved = self._screen not in (None, screen)
        self._screen = screen
        self.show()
        self.refresh_soon()
        if moved:
            dom.focus("main")

    # What is known

    async def _poll(self):
        while True:
            if dom.visible():
                self.refresh_soon()
            await asyncio.sleep_ms(POLL_MS)

    def refresh_soon(self):
        """Ask again, once for many."""
        self._dirty = True
        if not self._refreshing:
            self._refreshing = True
            self.task(self._refresh())

    async def _refresh(self):
        try:
            while self._dirty:
                self._dirty = False
                try:
                    await self._load()
                except EngineError as error:
                    if self.engine.up:  # else the line at the top says it
                        self.notes.add(error.message, "bad")
                self.show()
                await asyncio.sleep_ms(REFRESH_EVERY_MS)
        finally:
            self._refreshing = False

    async def _load(self):
        call = self.engine.call
        if self.state["gateway"] is None or not self.engine.up:
            # Anew after it was away: another may answer, or somebody else be signed in.
            self.state["gateway"] = await call("gateway")
            self.state["catalogue"] = await call("catalogue")
        if self.state["gateway"]["relays"]:
            self.state["status"] = await call("status")
        elif self._screen != "devices":
            return  # there is no queue
        await getattr(self, self._screen).refresh()
        if "outbox" in self.made:
            await self.outbox.refresh_detail()

    def _engine(self, state, words):
        self.state["engine"] = state
        self.state["engine_error"] = words
        self.show()

    # What `events` asks of a page

    def submitted(self, _form):
        """A form that nothing else knows: there is none."""

    def try_kept(self):
        """Nothing of this device's is kept here."""

    async def tell_device(self):
        """A gateway's queue has no battery."""
