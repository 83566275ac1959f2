"""The screens "Destinations" and "Devices" of the gateway's page."""

from app import device, dom
from app.engine_client import EngineError
from app.views import dry_run as dry_view
from app.views import manage as view

#: What the two screens show changes seldom; it is asked for again when it is this old.
FRESH_MS = 10000


class Shown:
    """What both screens are: ``state[name]``, as the gateway last told."""

    name = ""

    def __init__(self, app):
        self._app = app
        self._asked_at = 0

    async def refresh(self):
        now = device.now()
        if self._app.state[self.name] is None or now - self._asked_at >= FRESH_MS:
            self._app.state[self.name] = await self._app.engine.call(self.name)
            self._asked_at = now


class Destinations(Shown):
    """``state["tests"]``: name -> "busy" or what testing said."""

    name = "destinations"

    def show(self):
        dom.show("destinations-list", view.destinations(self._app.state))

    def act(self, name, of):
        if name == "test":
            self._app.task(self._test(of))
        else:
            self._ask(of)

    async def _test(self, of):
        tests = self._app.state["tests"]
        tests[of] = "busy"
        self.show()
        try:
            tests[of] = await self._app.engine.call("test_connection", {"name": of})
        except EngineError as error:
            tests[of] = {"state": "", "text": (error.message + " " + error.todo).strip()}
        self._asked_at = 0
        self.show()

    # The dry run

    def _ask(self, of):
        found = [one for one in self._app.state["destinations"] or [] if one["name"] == of]
        if not found:
            return
        question = {"view": dry_view.dialog, "form": "dry-form", "do": self._run, "one": found[0]}
        self._choose(question, found[0]["kinds"][0])
        self._app.asking.ask(question)

    def _choose(self, question, kind):
        question["kind"] = kind
        question["fields"] = dry_view.fields(question["one"], kind)
        question["errors"], question["shown"] = {}, None

    def chosen(self, kind):
        """Another kind, in the dialog."""
        question = self._app.asking.asked
        if question is not None and question["form"] == "dry-form":
            self._choose(question, kind)
            self._app.asking.draw(question)

    async def _run(self, asked, values):
        asking = self._app.asking
        for field in asked["fields"]:
            field["value"] = values.get(field["path"]) or ""
        args = {"name": asked["one"]["name"], "kind": asked["kind"]}
        args["payload"] = dry_view.payload(asked["one"], asked["kind"], values)
        asked["errors"], asked["shown"] = {}, None
        asking.busy(asked)
        try:
            asked["shown"] = await self._app.engine.call("dry_run", args)
            asked["said"] = None
        except EngineError as error:
            known = [field["path"] for field in asked["fields"]]
            asked["errors"] = {name: error.fields[name] for name in error.fields if name in known}
            rest = [f"{n} {error.fields[n]}" for n in error.fields if n not in known]
            asked["said"] = None
            if rest or not asked["errors"]:
                asked["said"] = "; ".join(rest) or error.message
        if asking.draw(asked) and asked["errors"]:
            dom.focus_field("dry-form", sorted(asked["errors"])[0])
        elif asked["shown"]:
            dom.focus("dry-shown")


class Devices(Shown):
    name = "devices"

    def show(self):
        dom.show("devices-list", view.devices(self._app.state))

    def act(self, _name, of):
        told = self._app.state["devices"] or {"devices": []}
        found = [one for one in told["devices"] if one["id"] == of]
        if found:
            question = {"view": view.revoke, "form": "revoke-form", "do": self._revoke}
            question["one"] = found[0]
            self._app.asking.ask(question)

    async def _revoke(self, asked, _values):
        asking = self._app.asking
        asking.busy(asked)
        try:
            told = await self._app.engine.call("revoke", {"id": asked["one"]["id"]})
        except EngineError as error:
            asking.refused(asked, error.message)
            return
        self._app.state["devices"] = told
        asking.done(asked, "{} may not use this gateway any more.".format(asked["one"]["name"]))
