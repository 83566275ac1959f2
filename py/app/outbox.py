"""The outbox's side of the app: which page of the queue is shown, and the acts on its rows."""

from app import device, dom
from app.device import DeviceError
from app.engine_client import EngineError
from app.views import detail as detail_view
from app.views import outbox as view

PAGE = 50
#: Beyond this, "Load more" pages on but a live refresh keeps to the newest ones.
REFRESHED_MAX = 500

#: act -> (what is said afterwards, the act that undoes it).
SAID = {
    "cancel": ("Cancelled", "restore"),
    "discard": ("Discarded", "restore"),
    "retry": ("It is tried again", None),
    "restore": ("Back in the queue", None),
}


class Outbox:
    """Rows of one view, loaded by page; refetched whenever something changed."""

    def __init__(self, app):
        self._app = app
        self._open = None  # id of the item in the dialog
        self._asked = 0

    @property
    def _box(self):
        return self._app.state["outbox"]

    def show(self):
        state = self._app.state
        dom.show("outbox-head", view.head(state))
        dom.show("outbox-list", view.listing(state))

    def choose(self, name):
        """Waiting or Sent."""
        if self._box["view"] != name:
            self._box.update({"view": name, "rows": None, "next": None, "error": None})

    async def refresh(self):
        """Ask again for as many rows as are shown, then draw only what differs."""
        box = self._box
        name = box["view"]
        self._asked += 1
        asked = self._asked
        wanted = min(max(len(box["rows"] or []), PAGE), REFRESHED_MAX)
        rows, cursor = [], None
        try:
            while len(rows) < wanted:
                page = await self._page(name, cursor)
                rows.extend(page["rows"])
                cursor = page.get("next")
                if not cursor:
                    break
        except EngineError as error:
            box["error"] = error.message
            return
        if asked == self._asked and box["view"] == name:
            older = (box["rows"] or [])[len(rows) :] if cursor and box["rows"] else []
            known = {row["id"] for row in rows}
            kept = [row for row in older if row["id"] not in known]
            box["rows"] = rows + kept
            box["next"] = box["next"] if kept else cursor
            box["error"] = None

    def _page(self, name, cursor):
        return self._app.engine.call("list", {"view": name, "cursor": cursor, "limit": PAGE})

    async def more(self):
        box = self._box
        if box["loading"] or not box["next"]:
            return
        box["loading"] = True
        self.show()
        name = box["view"]
        try:
            page = await self._page(name, box["next"])
            if box["view"] == name:
                known = {row["id"] for row in box["rows"]}
                box["rows"] = box["rows"] + [r for r in page["rows"] if r["id"] not in known]
                box["next"] = page.get("next")
        except EngineError as error:
            self._app.notes.add(error.message, "bad")
        finally:
            box["loading"] = False
        self.show()

    # Acts

    async def act(self, name, identity):
        """Cancel, retry, discard, restore one row; what can be undone offers it."""
        try:
            row = await self._app.engine.call(name, {"id": identity, "reason": "by hand"})
        except EngineError as error:
            self._app.notes.add((error.message + " " + error.todo).strip(), "bad")
            return
        text, back = SAID[name]
        if back and back in ((row or {}).get("can") or []):
            self._app.notes.add(text, "info", "Undo", lambda: self.start(back, identity))
        else:
            self._app.notes.add(text, "info")
        self._app.refresh_soon()

    def start(self, name, identity):
        self._app.task(self.act(name, identity))

    async def ask(self, method, said=None):
        """One of the acts on the whole queue: sync, pause, resume, retry_all."""
        try:
            told = await self._app.engine.call(method)
        except EngineError as error:
            self._app.notes.add((error.message + " " + error.todo).strip(), "bad")
            return
        if said:
            self._app.notes.add(said, "info")
        elif method == "retry_all":
            self._app.notes.add("{} tried again".format(told["count"]), "info")
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

    async def load_counts(self):
        """How many wait, without the engine."""
        try:
            self._app.state["counts"] = await self._app.device.counts()
        except DeviceError as error:
            self._app.storage_problem(error)
