"""The screen "Attention": its list, its selection, and the dialog that corrects and discards."""

from app import catalogue as rules
from app import dom, edit, words
from app.engine_client import EngineError
from app.pages import Pages
from app.views import ask as ask_view
from app.views import attention as view

#: What gave up because time was lacking; one act sends it all again.
LOST = "QUEUE_MAX_RETRIES_EXCEEDED"


class Attention:
    """``state["attention"]``: the box of `pages`, and ``told`` (what the engine counted),
    ``chosen`` (ids)."""

    def __init__(self, app):
        self._app = app
        self._box = app.state["attention"]
        self._pages = Pages(app, self._box, self.show)
        self._asked = None  # what the dialog is about
        self._after = None  # where the focus goes when it closes

    def show(self):
        state = self._app.state
        dom.show("attention-head", view.head(state))
        dom.show("attention-list", view.listing(state))

    async def refresh(self):
        await self._pages.refresh()
        told = await self._app.engine.call("attention")
        known = [row["id"] for row in self._box["rows"] or []]
        self._box["told"] = told
        self._box["chosen"] = [one for one in self._box["chosen"] if one in known]

    async def more(self):
        await self._pages.more()

    # A selection

    def pick(self, identity, on):
        others = [one for one in self._box["chosen"] if one != identity]
        if on:
            others.append(identity)
        self._box["chosen"] = others
        self.show()

    def many(self, name):
        """Retry, discard, or clear what is selected."""
        ids = self._box["chosen"]
        if name == "retry":
            self._app.task(self._act_many("retry_many", ids, "tried again", None))
        elif name == "discard":
            self.ask_discard(ids)
        self._box["chosen"] = ids if name == "discard" else []
        self.show()
        if name != "discard":
            dom.focus("main")

    async def _act_many(self, method, ids, said, back, reason="by hand"):
        told = await self._call(method, {"ids": ids, "reason": reason})
        if told is None:
            return False
        done, left = told["ids"], told["left"]
        text = "{} {}".format(words.count(len(done), "item"), said)
        if left:
            first = next(iter(left.values()))
            text += ". {} left as it was: {}".format(len(left), first["message"])
        undo = None
        if back and done:

            def undo():
                self._app.task(self._act_many(back, done, "back in the queue", None))

        self._app.notes.add(text, "info", "Undo" if undo else None, undo)
        self._app.refresh_soon()
        return True

    def retry_all(self, lost=False):
        """All dead letters, or those that an outage made."""
        self._app.task(self._retry_all({"code": LOST} if lost else {}))

    async def _retry_all(self, chosen):
        told = await self._call("retry_all", chosen)
        if told is not None:
            self._app.notes.add("{} tried again".format(words.count(told["count"], "item")), "info")
            self._app.refresh_soon()
            dom.focus("main")

    async def _call(self, method, args):
        """The answer; None when it could not be done, which has been said."""
        try:
            return await self._app.engine.call(method, args)
        except EngineError as error:
            self._app.notes.add((error.message + " " + error.todo).strip(), "bad")
            return None

    # The dialog

    async def ask_edit(self, identity):
        one = await self._call("detail", {"id": identity})
        if one is None:
            return
        answer = one.get("answer") or {}
        fields = edit.fields(one, self._app.state["catalogue"])
        names = [field["path"] for field in fields]
        told = edit.by_path(answer.get("fields") or {}, names)
        self._asked = {
            "what": "edit",
            "one": one,
            "answer": answer,
            "fields": fields,
            "errors": told,
            "said": None,
        }
        self._open()
        dom.focus_field("edit-form", edit.first(names, told))

    def ask_discard(self, ids):
        if not ids:
            return
        rows = [row for row in self._box["rows"] or [] if row["id"] == ids[0]]
        title = rows[0]["title"] if rows else "It"
        self._asked = {"what": "discard", "ids": list(ids), "title": title, "said": None}
        self._open()
        dom.focus("discard-reason")

    def _open(self):
        self._app.outbox.closed()  # one dialog at a time
        self._draw()
        dom.open_dialog("ask")

    def _draw(self):
        dom.show("ask", ask_view.form(self._asked))

    def closed(self):
        self._asked = None
        dom.close_dialog("ask")
        self._draw()

    async def submit(self):
        """What stands in the dialog is done; it stays open, with the reason, while it cannot be."""
        asked = self._asked
        if asked is None or asked["said"] == "busy":
            return
        if asked["what"] == "edit":
            await self._edit(asked, dom.values("edit-form"))
        else:
            await self._discard(asked, dom.values("discard-form").get("reason") or "")

    async def _edit(self, asked, values):
        one = asked["one"]
        wrong = rules.check(self._app.state["catalogue"], one["kind"], values)
        names = [field["path"] for field in asked["fields"]]
        wrong = {name: wrong[name] for name in wrong if name in names}
        if not wrong:
            asked["said"] = "busy"
            self._draw()
            try:
                await self._app.engine.call("edit", edit.asked(one, values))
            except EngineError as error:
                wrong = edit.errors(error.fields)
                asked["said"] = "" if wrong else (error.message + " " + error.todo).strip()
            else:
                self._done("Corrected. It is sent again.")
                return
        else:
            asked["said"] = None
        asked["errors"] = wrong
        if self._asked is asked:
            self._draw()
            if wrong:
                dom.focus_field("edit-form", edit.first(names, wrong))

    async def _discard(self, asked, reason):
        asked["said"] = "busy"
        self._draw()
        if len(asked["ids"]) == 1:
            done = await self._app.outbox.act("discard", asked["ids"][0], reason)
        else:
            done = await self._act_many(
                "discard_many", asked["ids"], "discarded", "restore_many", reason
            )
        self._box["chosen"] = []
        if done:
            self._done(None)
        else:
            self.closed()

    def _done(self, text):
        self.closed()
        if text:
            self._app.notes.add(text, "good")
        self._app.refresh_soon()
        dom.focus("main")  # the row that had it goes away
