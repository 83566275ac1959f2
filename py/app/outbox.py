"""The outbox's side of the app: which page of the queue is shown, and the acts on its rows."""

from app import catalogue, device, dom
from app.engine_client import EngineError
from app.pages import Pages
from app.views import detail as detail_view
from app.views import outbox as view

#: act -> (what is said afterwards, the act that undoes it).
SAID = {
    "cancel": ("Cancelled", "restore"),
    "discard": ("Discarded", "restore"),
    "retry": ("It is tried again", None),
    "restore": ("Back in the queue", None),
    "arrived": ("Taken as sent", None),
    "send_again": ("It is sent again", None),
}


class Outbox:
    """The two lists of the outbox, and one item of any list, opened.

    ``state["outbox"]``: the box of `pages`, ``left`` (see `app.many`), and ``chosen``: None, or in
    Select mode the ids that are selected.
    """

    def __init__(self, app):
        self._app = app
        self._box = app.state["outbox"]
        self._open = None  # id of the item in the dialog
        self._pages = Pages(app, self._box, self.show)
        self._select = None  # `select.Select`, once somebody selects
        self._export = None  # `export.Export`, once somebody takes an item elsewhere

    def show(self):
        state = self._app.state
        dom.show("outbox-head", view.head(state))
        shown = self._select.listing(state) if self.selecting else view.listing(state)
        if state["kept"] and state["outbox"]["view"] == "waiting":
            shown = self._app.kept().rows(shown)
        dom.show("outbox-list", shown)

    def choose(self, name):
        """Waiting or Sent."""
        if self._box["view"] != name:
            self._box.update({"chosen": None, "left": None})
        self._pages.choose(name)

    def only(self, name):
        """Those for one destination; "" for all."""
        self._box["left"] = None
        if self.selecting:
            self._box["chosen"] = []
        self._pages.choose_only(name)
        self._app.show()
        self._app.refresh_soon()

    async def refresh(self):
        await self._pages.refresh()
        if self.selecting:
            self._select.refreshed()

    async def more(self):
        await self._pages.more()

    # Select mode, in a module of its own that is loaded when it is first wanted

    @property
    def selecting(self):
        return self._box.get("chosen") is not None

    async def select(self):
        """Begin to select, or end it."""
        if self._select is None:
            from app.select import Select  # noqa: PLC0415

            self._select = Select(self._app, self._box, self)
        self._select.toggle()

    def chosen(self, name):
        """What is done with the selection (see `select.Select.act`)."""
        if self.selecting:
            self._select.act(name)

    def pick(self, identity, on):
        if self.selecting:
            self._select.pick(identity, on)

    def escape(self):
        """Out of Select mode; False when one is not in it."""
        if not self.selecting:
            return False
        self._select.toggle()
        return True

    def left_read(self):
        """What was left as it is has been read."""
        self._box["left"] = None
        self._app.state["attention"]["left"] = None
        self._app.show()
        dom.focus("main")

    # One item as a file, likewise

    async def export(self, identity):
        if self._export is None:
            from app.export import Export  # noqa: PLC0415

            self._export = Export(self._app)
        await self._export.ask(identity)

    async def exported(self, name, identity):
        """A button of what `export` opened."""
        await self._export.act(name, identity)

    # Acts

    async def act(self, name, identity, reason="by hand"):
        """Cancel, retry, discard, restore one row; what can be undone offers it."""
        try:
            row = await self._app.engine.call(name, {"id": identity, "reason": reason})
        except EngineError as error:
            self._app.notes.add((error.message + " " + error.todo).strip(), "bad")
            return False
        text, back = SAID[name]
        if back and back in ((row or {}).get("can") or []):
            self._app.notes.add(text, "info", "Undo", lambda: self.start(back, identity))
        else:
            self._app.notes.add(text, "info")
        self._app.refresh_soon()
        return True

    def start(self, name, identity):
        self._app.task(self.act(name, identity))

    async def sync(self):
        """Send what can be sent now; False when nothing can, which has been said."""
        try:
            await self._app.engine.call("sync")
            self._app.state["status"] = await self._app.engine.call("status")
        except EngineError as error:
            self._app.notes.add((error.message + " " + error.todo).strip(), "bad")
            return False
        why = view.nothing_goes(self._app.state)
        if why:
            self._app.notes.add("Nothing is sent now. " + why, "info")
        self._app.refresh_soon()
        return not why

    async def ask(self, method, said=None, args=None):
        """One of the acts on the whole queue: pause, resume."""
        try:
            await self._app.engine.call(method, args)
        except EngineError as error:
            self._app.notes.add((error.message + " " + error.todo).strip(), "bad")
            return
        if said:
            self._app.notes.add(said, "info")
        self._app.refresh_soon()

    # The dialog

    async def open(self, identity):
        self._open = identity
        if await self.refresh_detail():
            dom.open_dialog("detail")

    async def refresh_detail(self):
        """Draw the opened item anew; False when there is none or it cannot be read."""
        if self._open is None:
            return False
        identity = self._open
        try:
            one = await self._app.engine.call("detail", {"id": identity})
        except EngineError as error:
            self._app.notes.add(error.message, "bad")
            self.closed()
            return False
        if self._open != identity:
            return False
        catalogue.tell(self._app.state["catalogue"], one)
        dom.show("detail", detail_view.detail(one, device.now()))
        return True

    def closed(self):
        self._open = None
        dom.close_dialog("detail")
        dom.show("detail", [])

    async def copy(self, text):
        copied = await device.copy_text(text)
        self._app.notes.add(
            "Copied" if copied else "The browser did not allow copying.",
            "good" if copied else "bad",
        )
