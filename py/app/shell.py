"""The app around its screens: what is known, where one is, which act goes where."""

import asyncio

from app import device as device_module
from app import dom, events, later, model, reached
from app.device import Device, DeviceError
from app.engine_client import EngineClient, EngineError
from app.form import Form
from app.keeping import NAME, Keeping
from app.page import Page
from app.views import capture as capture_view
from app.views import status as status_view

TICK_MS = 5000
UPDATE_CHECK_TICKS = 720  # an hour


class App(Page, Keeping):
    """The app's. `state` is all that the views see; ``made`` holds the parts that came later."""

    screens = ("capture", "outbox", "attention", "settings", "about")
    outbox = later.part(later.outbox)
    asking = later.part(later.asking)
    attention = later.part(later.attention)
    settings = later.part(later.settings)
    about = later.part(later.about)
    updates = later.part(later.updates)
    accounts = later.part(later.accounts)

    def __init__(self):
        Page.__init__(self)
        self.state = {
            "now": device_module.now(),
            "online": dom.online(),
            "engine": "starting",
            "engine_error": "",
            "status": None,
            "counts": None,
            "storage_error": None,
            "offline_ready": False,
            "catalogue": None,
            "destinations": {},
            "facts": {},
            "storage": {},
            "version": None,
            "outbox": model.new_box("waiting"),
            "attention": model.new_box("attention"),
            "settings": None,
            "held": {},
            "kept": [],
            "lost": None,
            "accounts": {},
        }
        self.state["attention"].update({"told": None, "chosen": []})
        self.device = Device()
        self.engine = EngineClient("engine", "./py/app/engine.py", "./pyscript.toml", self._engine)
        self.forms = {kind: Form(self, kind) for kind in model.FORMS}
        self.tab = 1
        self._kept = None
        self._warns = False
        self._opening = asyncio.Lock()
        #: Once it is known what was stored of the catalogue, if anything.
        self.known = asyncio.Event()
        self._cached_now = False
        self._update_offered = False
        self._held = False  # nothing may be asked for
        self._asked_to_persist = False
        self._battery = {}

    def start(self):
        events.listen(self)
        answer = dom.take_answer()
        self.navigate()
        seen = [kind for kind in self.forms if dom.is_shown(kind)]
        self._draw_forms(seen)
        dom.ready()
        events.take_early_files(self)
        for kind in self.forms:
            if dom.saved_early(kind):
                self.task(self.forms[kind].save_early())
        self.task(self._go_on([kind for kind in self.forms if kind not in seen]))
        if answer:
            self.task(self.accounts.finish(answer))

    def _draw_forms(self, kinds):
        for kind in kinds:
            self.forms[kind].show_choices()
            self.forms[kind].show()

    async def _go_on(self, kinds):
        """Once the page reacts: all that nobody can see or use yet."""
        self._draw_forms(kinds)
        self.task(self._open())
        self.task(self.engine.run())
        self.task(self.updates.start())
        self.task(device_module.watch_battery(self._battery_changed))
        self.task(self._tick())

    # Showing

    def show(self):
        self.state["now"] = device_module.now()
        self._warn_before_leaving()
        dom.show("status", status_view.line(self.state))
        dom.show("banners", status_view.banners(self.state))
        self._show_badge("outbox", model.waiting(self.state))
        self._show_badge("attention", model.attention(self.state))
        if self._screen in ("outbox", "attention", "settings"):
            getattr(self, self._screen).show()
        elif self._screen == "about":
            dom.show("about-facts", status_view.about(self.state))

    def _route(self, address):
        return model.route(address)

    def _turned(self, screen, view):
        for kind in model.FORMS:
            if kind != view:
                self.forms[kind].left()
            if screen == "capture":
                dom.reveal(kind, kind == view)
        if screen == "capture":
            dom.mark_all(".views a", "aria-current", "#capture/" + view)

    # What is known

    async def _open(self):
        """The storage first, then what lies in it; tried again while another tab blocks it."""
        async with self._opening:
            if not self.device.is_open:
                try:
                    await self._open_now()
                finally:
                    self.known.set()

    async def _open_now(self):
        try:
            await self.device.open(NAME)
            self.state["lost"] = await self.device.lost()
        except DeviceError as error:
            self.storage_problem(error)
            return
        await self.load_known()
        self.known.set()
        self.storage_works()
        device_module.on_changed(NAME, self._told)
        try:
            self.tab = await device_module.tab_number(self._has_draft)
        except DeviceError as error:
            self.storage_problem(error)
        for kind in self.forms:
            await self.forms[kind].restore()
            self.forms[kind].files.store_failed()
        await self._load_counts()
        self.show()
        self.state["facts"] = later.system_info(await device_module.facts())
        dom.show("facts", capture_view.facts(self.state["facts"]))
        self._draw_forms(self.forms)  # what the device knows, nobody is asked for

    async def _has_draft(self, tab):
        for kind in self.forms:
            if await self.device.load_draft(model.draft_name(kind, tab)) is not None:
                return True
        return False

    def storage_works(self):
        """Something was stored: what stood in the way no longer does."""
        if self.state["storage_error"]:
            self.state["storage_error"] = None
            for kind in self.forms:
                self.forms[kind].files.store_failed()
                self.task(self.forms[kind].keep())
            self.try_kept()
            self.show()

    def storage_problem(self, error):
        """Said at the top until it works again; what is typed stays in the form."""
        self.state["storage_error"] = {"code": error.code, "message": error.message}
        self.show()

    def _told(self, message):
        if message.get("type") == "changed":
            self.refresh_soon()

    async def _load(self):
        if not self.engine.up:
            await self._load_counts()
            return
        try:
            self.state["status"] = await self.engine.call("status")
            await self._remember()
            if reached.signs_in(self.state):
                await self.accounts.refresh()
            self._take_catalogue(await self.engine.call("catalogue"))
            if self._screen in ("outbox", "attention", "settings"):
                await getattr(self, self._screen).refresh()
            for kind in self.forms:
                await self.forms[kind].try_held()
            if self._screen in ("attention", "about"):
                self.state["storage"].update(await device_module.storage_in_use())
        except EngineError as error:
            self.notes.add(error.message, "bad")
        if "outbox" in self.made:
            await self.outbox.refresh_detail()

    async def _load_counts(self):
        """How many wait, without the engine."""
        try:
            self.state["counts"] = await self.device.counts()
        except DeviceError as error:
            self.storage_problem(error)

    def _take_catalogue(self, given):
        """What the gateway last said it takes; the forms follow."""
        if given != self.state["catalogue"]:
            self.state["catalogue"] = given
            for kind in self.forms:
                self.forms[kind].follow_catalogue()
            self.task(self.keep_catalogue(given))

    async def _tick(self):
        """Times move on, and what no message told is noticed."""
        ticks = 0
        while True:
            await asyncio.sleep_ms(TICK_MS)
            ticks += 1
            if self.state["storage_error"] and not self.device.is_open:
                await self._open()
            for kind in self.forms:
                await self.forms[kind].try_held(storage=True)
            if dom.visible():
                self.refresh_soon()
            if ticks % UPDATE_CHECK_TICKS == 0:
                await self.updates.check()

    # Engine and service worker

    def _engine(self, state, words):
        self.state["engine"] = state
        self.state["engine_error"] = words
        if state == "up":
            self.task(self._engine_up())
        elif state == "restarting":
            self.notes.add(
                "The part that sends stopped answering and is being started again. Nothing is lost."
            )
        self.show()

    async def _engine_up(self):
        await self.tell_link()
        await self.tell_device()
        try:
            self.state["version"] = (await self.engine.call("ping")).get("version")
        except EngineError as error:
            self.notes.add(error.message, "bad")
        self._settle_ready()
        self.refresh_soon()
        await asyncio.sleep_ms(TICK_MS)  # after whatever the person is waiting for
        if self.engine.up and not self._held:
            await self.updates.check()
            await self.updates.snapshot()

    async def tell_device(self):
        """The engine's worker cannot see whether anybody looks, nor the battery."""
        said = {"visible": dom.visible()}
        said.update(self._battery)
        await self.engine.tell("device", said)

    def _battery_changed(self, battery):
        self._battery = battery
        self.task(self.tell_device())

    def cached(self, ready):
        self._cached_now = ready
        self._settle_ready()

    def _settle_ready(self):
        """Safe to leave: every file is kept here, and the engine has run from them."""
        self.state["offline_ready"] = self._cached_now and self.engine.up
        self.show()

    def update_waits(self):
        """Offered, never forced; the note goes when it is dismissed."""
        if not self._update_offered:
            self._update_offered = True
            text = "An update is ready. Nothing is lost by it."
            self.notes.add(text, act="Update now", do=self._update, stay=True)

    def _update(self):
        self.task(self.update_now())

    async def update_now(self):
        if not self.may_leave():
            return
        told = self.notes.add("Updating…", "busy", stay=True)
        await self.engine.halt()
        taken_over = await self.updates.take_over()
        await self.keep_drafts()
        if taken_over and self.may_leave():
            dom.reload()
            # Where a form could not be kept the browser asks, and the person may have stayed.
            await asyncio.sleep_ms(TICK_MS)
        self.engine.resume()
        self.notes.close(told)
        if not taken_over:
            self.notes.add(
                "The update could not start: another tab is busy. "
                "Close all tabs of this app, then open it again. Nothing is lost.",
                "bad",
                stay=True,
            )

    def may_leave(self):
        """Whether the page may go away by what a person chose; else that is told."""
        if self.state["kept"]:
            text = "Not yet: what is not saved would be lost. Make a rescue file of it first."
            self.notes.add(text, "bad")
        return not self.state["kept"]

    async def keep_drafts(self):
        for kind in self.forms:
            await self.forms[kind].keep()

    async def hold(self, held):
        """While an update takes over no tab may ask for anything: `Updates`."""
        self._held = held
        if not held:
            self.engine.resume()
        elif not self.engine.up:
            await self.engine.halt()  # it loads its files
        await self.tell_link()

    async def tell_link(self):
        await self.engine.tell("link", {"online": dom.online() and not self._held})

    def submitted(self, form):
        """A form of About."""
        self.task(self.about.submit(form))

    async def ask_to_persist(self):
        """Once something is kept here that would be missed (a prompt in some browsers)."""
        if not self._asked_to_persist:
            self._asked_to_persist = True
            self.state["storage"]["kept"] = await self.device.persist()
