"""The app's side of a storage that fails, or that the browser deleted.

What is done with what this tab holds is in `app.kept`, which is read only where it is needed.
"""

from app import device
from app.destined import REMEMBERED
from app.device import DeviceError

NAME = "fieldpost"
#: Under which name the forms find the catalogue before the engine is up.
CATALOGUE = "catalogue"


class Keeping:
    """This side of `app.shell.App`."""

    def kept(self):
        """Its code is needed, and read, only where the storage fails."""
        if self._kept is None:
            from app.kept import Kept  # noqa: PLC0415

            self._kept = Kept(self)
        return self._kept

    def try_kept(self):
        """The storage may work again."""
        if self.state["kept"]:
            self.task(self.kept().write_back())

    async def reopen(self):
        """The storage as it is now, also where it was deleted. Raises `DeviceError`."""
        if self.device.is_open:
            await self.device.open(NAME)
            return
        await self._open()
        if not self.device.is_open:
            raise self.device.problem

    async def load_known(self):
        """What the destinations ask for, as last heard, and which were chosen: so that a form is
        checked before the engine is up."""
        try:
            self.state["catalogue"] = await self.device.load_draft(CATALOGUE)
            self.state["destinations"] = await self.device.load_draft(REMEMBERED) or {}
        except DeviceError as error:
            self.storage_problem(error)
            return
        for kind in self.forms:
            self.forms[kind].follow_catalogue()

    async def keep_catalogue(self, given):
        if given is not None and self.device.is_open:
            try:
                await self.device.save_draft(CATALOGUE, given)
            except DeviceError as error:
                self.storage_problem(error)

    def saved_something(self):
        self.refresh_soon()
        self.task(self.engine.tell("nudge", {"reason": "captured"}))

    def _warn_before_leaving(self):
        """What is typed is a draft while the storage works; else closing the tab would lose it."""
        only_here = bool(self.state["kept"])
        if self.state["storage_error"]:
            only_here = only_here or any(self.forms[kind].unsaved() for kind in self.forms)
        if only_here != self._warns:
            self._warns = only_here
            device.warn_before_leaving(only_here)

    def loss_seen(self):
        """What was said of deleted items has been read."""
        self.state["lost"] = None
        self.task(self.device.loss_seen())
        self.show()

    async def _remember(self):
        """For the case that the browser deletes everything: how much would be missed."""
        status = self.state["status"]
        if self.device.is_open and not self.state["storage_error"]:
            try:
                both = status.get("unsettled") or 0  # waits, and for a person
                await self.device.remember(status["waiting"] + status["attention"] - both)
            except DeviceError as error:
                print("not remembered:", error.code, error.message)
