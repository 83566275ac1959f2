"""The outbox's side of the app: which page of the queue is shown, and the acts on its rows."""

from app import device, dom
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
    """The two lists of the outbox, and one item of any list, opened."""

    def __init__(self, app):
        self._app = app
        self._open = None  # id of the item in the dialog
        self._pages = Pages(app, app.state["outbox"], self.show)

    def show(self):
        state = self._app.state
        dom.show("outbox-head", view.head(state))
        shown = view.listing(state)
        if state["kept"] and state["outbox"]["view"] == "waiting":
            shown = self._app.kept().rows(shown)
        dom.show("outbox-list", shown)

    def choose(self, name):
        """Waiting or Sent."""
        self._pages.choose(name)

    async def refresh(self):
        await self._pages.refresh()

    async def more(self):
        await self._pages.more()

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

    async def ask(self, method, said=None, args=None):
        """One of the acts on the whole queue: sync, pause, resume, breaker."""
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
