"""The page of a gateway: the app's screens on the gateway's own queue, with what is behind it and
the devices before it. Nothing of this device's own is opened or sent."""

import asyncio

from app import device as device_module
from app import dom, events, later, model
from app.engine_client import EngineError
from app.page import Page
from app.remote import RemoteEngine
from app.views import manage as view

#: Looked at this often while somebody looks; each look is a few reads of counters and one page.
POLL_MS = 2000


class Manage(Page):
    """The gateway's. `state` is all that the views see, as in `app.shell.App`."""

    screens = ("outbox", "attention", "settings", "destinations", "devices")
    outbox = later.part(later.outbox)
    asking = later.part(later.asking)
    attention = later.part(later.attention)
    settings = later.part(later.settings)
    destinations = later.part(later.destinations)
    devices = later.part(later.devices)

    def __init__(self):
        Page.__init__(self)
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
        self.engine = RemoteEngine("./queue", self._engine)

    def start(self):
        dom.through(lambda node: view.at_gateway(node, self.state))
        events.listen(self)
        self.navigate()
        dom.ready()
        self.task(self._poll())

    # Showing

    def show(self):
        state = self.state
        state["now"] = device_module.now()
        dom.show("status", view.line(state))
        dom.show("where", view.where(state))
        dom.show("banners", view.banners(state))
        self._show_badge("outbox", model.waiting(state))
        self._show_badge("attention", model.attention(state))
        getattr(self, self._screen).show()

    def _route(self, address):
        return view.route(address)

    # What is known

    async def _poll(self):
        while True:
            if dom.visible():
                self.refresh_soon()
            await asyncio.sleep_ms(POLL_MS)

    async def _load(self):
        try:
            await self._ask()
        except EngineError as error:
            if self.engine.up:  # else the line at the top says it
                self.notes.add(error.message, "bad")

    async def _ask(self):
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
