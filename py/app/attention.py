"""The screen "Attention": its list, its selection, and what is asked to correct and to discard."""

from app import catalogue as rules
from app import dom, edit, words
from app.engine_client import EngineError
from app.many import Many
from app.pages import Pages
from app.views import ask as ask_view
from app.views import attention as view

#: What gave up because time was lacking; one act sends it all again.
LOST = "QUEUE_MAX_RETRIES_EXCEEDED"


class Attention:
    """``state["attention"]``: the box of `pages`, and ``told`` (what the engine counted),
    ``chosen`` (ids), ``left`` (see `app.many`)."""

    def __init__(self, app):
        self._app = app
        self._box = app.state["attention"]
        self._pages = Pages(app, self._box, self.show)
        self._many = Many(app, self._box)

    def show(self):
        state = self._app.state
        dom.show("attention-head", view.head(state))
        dom.show("attention-list", view.listing(state))

    async def refresh(self):
        await self._pages.refresh()
        told = await self._app.engine.call("attention")
        known = {row["id"] for row in self._box["rows"] or []}
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
            self._app.task(self._many.act("retry_many", {"ids": ids}, "tried again"))
        elif name == "discard":
            self.ask_discard(ids)
        self._box["chosen"] = ids if name == "discard" else []
        self.show()
        if name != "discard":
            dom.focus("main")

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

    # What the dialog asks

    async def ask_edit(self, identity):
        one = await self._call("detail", {"id": identity})
        if one is None:
            return
        rules.tell(self._app.state["catalogue"], one)
        answer = one.get("answer") or {}
        fields = edit.fields(one, self._app.state["catalogue"])
        names = [field["path"] for field in fields]
        told = edit.by_path(answer.get("fields") or {}, names)
        question = {
            "view": ask_view.edit,
            "form": "edit-form",
            "do": self._edit,
            "one": one,
            "answer": answer,
            "fields": fields,
            "errors": told,
        }
        self._app.asking.ask(question)
        dom.focus_field("edit-form", edit.first(names, told))

    def ask_discard(self, ids):
        if not ids:
            return
        rows = [row for row in self._box["rows"] or [] if row["id"] == ids[0]]
        question = {
            "view": ask_view.discard,
            "form": "discard-form",
            "do": self._discard,
            "ids": list(ids),
            "title": words.title(rows[0]) if rows else "It",
        }
        self._app.asking.ask(question, "discard-reason")

    async def _edit(self, asked, values):
        asking, one = self._app.asking, asked["one"]
        given, facts = self._app.state["catalogue"], (one.get("payload") or {})
        facts = facts.get(rules.FACTS.get(one["kind"]))
        filled = dict(values)
        filled["destination"] = rules.goes_to(one)
        wrong = rules.check(given, one["kind"], filled, facts)
        names = [field["path"] for field in asked["fields"]]
        wrong = {name: wrong[name] for name in wrong if name in names}
        said = None
        if not wrong:
            asking.busy(asked)
            try:
                await self._app.engine.call("edit", edit.asked(one, values, given))
            except EngineError as error:
                wrong = edit.errors(error.fields)
                said = None if wrong else (error.message + " " + error.todo).strip()
            else:
                asking.done(asked, "Corrected. It is sent again.")
                return
        asked["errors"], asked["said"] = wrong, said
        if asking.draw(asked) and wrong:
            dom.focus_field("edit-form", edit.first(names, wrong))

    async def _discard(self, asked, values):
        asking, ids = self._app.asking, asked["ids"]
        reason = values.get("reason") or ""
        asking.busy(asked)
        if len(ids) == 1:
            await self._app.outbox.act("discard", ids[0], reason)
        else:
            args = {"ids": ids, "reason": reason}
            await self._many.act("discard_many", args, "discarded", "restore_many")
        self._box["chosen"] = []
        asking.done(asked)
