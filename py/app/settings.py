"""The screen "Settings": how and when things are sent. Each change counts at once."""

from app import dom, preferences
from app.engine_client import EngineError
from app.views import server as server_view
from app.views import settings as view

#: act of `views.server.ACTS` -> (the engine's action, what is said).
BY_HAND = {
    "stop": ("force_open", "Sending to this server is stopped"),
    "send": ("force_close", "All that waits is sent now"),
    "resume": ("force_close", "Sending again"),
    "afresh": ("reset", "Started afresh"),
}
#: The acts on one lane that need no question -> (the engine's method, what is said).
AT_ONCE = {"pause": ("pause", "Paused"), "go": ("resume", "Resumed")}


class Settings:
    """``state["settings"]``: None until asked, then {"values": dict or None (an engine that has
    none), "errors", "said"}."""

    def __init__(self, app):
        self._app = app
        self._busy = False

    @property
    def _known(self):
        return self._app.state["settings"]

    def show(self):
        dom.show("settings", view.settings(self._app.state))

    async def refresh(self):
        if self._busy or (self._known and self._known["values"] is None):
            return
        try:
            values = await self._app.engine.call("settings")
        except EngineError as error:
            if error.code != "QUEUE_INVALID_ITEM":  # "there is no such method"
                raise
            values = None
        known = self._known or {"errors": {}, "said": ""}
        known["values"] = values
        self._app.state["settings"] = known

    def changed(self):
        """Something was chosen or typed in the form."""
        known = self._known
        if known is None or known["values"] is None:
            return
        made, wrong = preferences.changes(known["values"], dom.values("settings"))
        known["errors"], known["said"] = wrong, ""
        if made and not wrong:
            self._app.task(self._configure(known, made))
        self.show()

    async def _configure(self, known, made):
        before = known["values"]
        self._busy = True  # a refresh must not bring back what was just changed
        known["values"] = dict(before)
        known["values"].update(made)
        self.show()
        try:
            known["values"] = await self._app.engine.call("configure", made)
            known["said"] = "Saved. It counts from now on."
        except EngineError as error:
            known["values"] = before
            known["errors"] = preferences.errors(error.fields)
            known["said"] = "" if known["errors"] else (error.message + " " + error.todo).strip()
        finally:
            self._busy = False
        self.show()
        self._app.refresh_soon()

    # The server's guard, by hand

    def ask_server(self, act, lane=None):
        """Whether that is really wanted: it counts for every tab, until somebody changes it.
        ``lane``: of which server, where there are several."""
        if act in AT_ONCE:
            method, said = AT_ONCE[act]
            self._app.task(self._app.outbox.ask(method, _named(lane, said), {"lane": lane}))
            return
        question = {
            "view": server_view.question,
            "form": "server-form",
            "do": self._server,
            "act": act,
            "lane": lane,
            "state": self._app.state,
        }
        self._app.asking.ask(question)

    async def _server(self, asked, _values):
        asking, (action, said) = self._app.asking, BY_HAND[asked["act"]]
        lane = asked["lane"]
        asking.busy(asked)
        try:
            args = {"action": action, "lane": lane} if lane else {"action": action}
            await self._app.engine.call("breaker", args)
        except EngineError as error:
            asking.refused(asked, (error.message + " " + error.todo).strip())
            return
        asking.done(asked, _named(lane, said))


def _named(lane, said):
    return lane + ": " + said if lane else said
