"""Signing in at destinations that this device delivers to by itself, and out again.

The person leaves the page for the destination's own sign-in, and comes back to it with an answer in
the address. What is typed stays: it is kept as a draft before.
"""

from app import dom
from app.device import DeviceError
from app.engine_client import EngineError


class Accounts:
    """``state["accounts"]``: what the engine told of each, by name."""

    def __init__(self, app):
        self._app = app

    async def refresh(self):
        told = await self._app.engine.call("accounts")
        self._app.state["accounts"] = {one["name"]: one for one in told}

    def act(self, name, account):
        """``in`` or ``out``."""
        self._app.task(self._sign_in(account) if name == "in" else self._sign_out(account))

    async def _sign_in(self, name):
        app = self._app
        if not app.may_leave():
            return
        if not app.state["online"]:
            app.notes.add("There is no network to sign in over. Try again when there is one.")
            return
        try:
            await app.keep_drafts()
            args = {"name": name, "redirect_uri": dom.home()}
            told = await app.engine.call("sign_in_at", args)
        except DeviceError as error:
            app.storage_problem(error)
        except EngineError as error:
            app.notes.add((error.message + " " + error.todo).strip(), "bad")
        else:
            dom.leave_for(told["url"])

    async def _sign_out(self, name):
        try:
            told = await self._app.engine.call("sign_out", {"name": name})
        except EngineError as error:
            self._app.notes.add((error.message + " " + error.todo).strip(), "bad")
            return
        text = "Signed out of {}. What waits for it stays on this device.".format(told["title"])
        self._app.notes.add(text, "info")
        await self._tell()

    async def finish(self, answer):
        """The person is back; the engine makes of the answer what it is good for."""
        busy = self._app.notes.add("Finishing the sign-in…", "busy", stay=True)
        try:
            told = await self._app.engine.call("signed_in", {"answer": answer})
        except EngineError as error:
            text, tone = (error.message + " " + error.todo).strip(), "bad"
        else:
            text = "Signed in to {} as {}. What waits for it is sent now."
            text, tone = text.format(told["title"], told["as"]), "good"
        self._app.notes.close(busy)
        self._app.notes.add(text, tone, stay=tone == "bad")
        await self._tell()

    async def _tell(self):
        await self.refresh()
        self._app.show()
        self._app.refresh_soon()
