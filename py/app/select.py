"""Select mode of the outbox: several rows, and the acts on them. Loaded when it is first wanted."""

from app import dom, model, words
from app.many import Many
from app.views import select as view


class Select:
    """``box["chosen"]``: the ids selected, None outside of Select mode."""

    def __init__(self, app, box, outbox):
        self._app = app
        self._box = box
        self._outbox = outbox
        self._many = Many(app, box)

    def listing(self, state):
        return view.listing(state)

    def toggle(self):
        self._box["chosen"] = [] if self._box.get("chosen") is None else None
        self._box["left"] = None
        self._outbox.show()

    def refreshed(self):
        """What left the list meanwhile is not selected any more; an empty list ends the mode."""
        if not self._box["rows"]:
            self._box["chosen"] = None
            dom.focus("main")  # the bar goes
            return
        known = {row["id"] for row in self._box["rows"]}
        self._box["chosen"] = [one for one in self._box["chosen"] if one in known]

    def pick(self, identity, on):
        others = [one for one in self._box["chosen"] if one != identity]
        if on:
            others.append(identity)
        self._box["chosen"] = others
        self._outbox.show()

    def act(self, name):
        """``all``, ``none``, or what `views.select.ACTS` names."""
        rows = self._box["rows"] or []
        if name in ("all", "none"):
            self._box["chosen"] = [row["id"] for row in rows] if name == "all" else []
            self._outbox.show()
            return
        chosen = set(self._box["chosen"])
        picked = view.asked_of(name, [row for row in rows if row["id"] in chosen])
        if not picked:
            return
        self._box["left"] = None
        if name == "send":
            self._app.task(self._send(picked))
        else:
            self._ask(name, picked)

    def _ask(self, name, picked):
        """Both questions share a form and what becomes of it but for its method."""
        now = {row.get("priority") for row in picked}
        question = {
            "view": view.cancel if name == "cancel" else view.priority,
            "form": "chosen-form",
            "do": self._cancel if name == "cancel" else self._change,
            "ids": [row["id"] for row in picked],
            "title": words.title(picked[0]),
            "now": now.pop() if len(now) == 1 else None,
        }
        self._app.asking.ask(question, "cancel-reason" if name == "cancel" else None)

    async def _cancel(self, asked, values):
        self._app.asking.busy(asked)
        args = {"ids": asked["ids"], "reason": values.get("reason") or ""}
        await self._many.act("cancel_many", args, "cancelled", "restore_many")
        self._app.asking.done(asked, stays=True)

    async def _change(self, asked, values):
        name = values.get("priority")
        if name is None:
            self._app.asking.refused(asked, "Choose one of the four.")
            return
        asked["now"] = model.PRIORITIES[name]  # what is chosen stays so while it is drawn anew
        self._app.asking.busy(asked)
        args = {"ids": asked["ids"], "priority": model.PRIORITIES[name]}
        text = f"now of {words.priority(model.PRIORITIES[name]).lower()} priority"
        await self._many.act("set_priority", args, text)
        self._app.asking.done(asked, stays=True)

    async def _send(self, picked):
        """The engine sends all that can go; of the selection it is said which cannot."""
        if not await self._outbox.sync():
            return
        pairs = [(words.title(row), view.wont_go(row)) for row in picked]
        left = [(title, why) for title, why in pairs if why]
        going = len(picked) - len(left)
        if going:
            text = "{} now, with all else that can go".format(
                words.count(going, "item is sent", "items are sent")
            )
            self._app.notes.add(text, "info")
        self._many.say_left(left)
        self._outbox.show()
