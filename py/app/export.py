"""Taking one item elsewhere by hand: for who has work that cannot be delivered, and a desk that
takes it in another way. Loaded when it is first wanted.

Each file is a press of its own: browsers ask before a page saves several by itself.
"""

from app import catalogue, device, dom, readable
from app.device import DeviceError
from app.engine_client import EngineError
from app.views import export as view


class Export:
    """The dialog of one item (`views.export`)."""

    def __init__(self, app):
        self._app = app
        self._asked = None
        self._urls = []  # let go of with the next item: nobody tells when one has been saved

    async def ask(self, identity):
        """Open the dialog for this item."""
        for url in self._urls:
            dom.revoke(url)
        self._urls = []
        try:
            one = await self._app.engine.call("detail", {"id": identity})
        except EngineError as error:
            self._app.notes.add((error.message + " " + error.todo).strip(), "bad")
            return
        catalogue.tell(self._app.state["catalogue"], one)
        self._asked = {"view": view.dialog, "one": one, "files": {}, "told": ""}
        self._app.asking.ask(self._asked)

    async def act(self, name, file_id):
        """``text``, ``file``, or ``part`` with the attachment's id."""
        asked = self._asked
        if name == "text":
            copied = await device.copy_text(readable.text(asked["one"], device.iso))
            said = "Copied." if copied else "The browser did not allow copying. Save it as a file."
            self._tell(asked, said)
        elif name == "file":
            text = readable.document(asked["one"], device.now(), device.iso)
            self._save(device.text_url(text, "application/json"), readable.name(asked["one"]))
            self._tell(asked, "Saved as {}.".format(readable.name(asked["one"])))
        else:
            await self._part(asked, file_id)

    async def _part(self, asked, file_id):
        part = next(one for one in readable.files(asked["one"]) if one["id"] == file_id)
        asked["files"][file_id] = "busy"
        self._app.asking.draw(asked)
        try:
            url = await self._app.device.file_copy(file_id)
        except DeviceError as error:
            asked["files"][file_id] = None
            self._tell(asked, error.message)
            return
        asked["files"][file_id] = "saved" if url else "gone"
        if url:
            name = part.get("name") or "attachment"
            self._save(url, name)
            self._tell(asked, f"Saved as {name}.")
        else:
            self._tell(asked, "It cannot be read any more.")

    def _save(self, url, name):
        dom.download(url, name)
        self._urls.append(url)

    def _tell(self, asked, text):
        asked["told"] = text
        self._app.asking.draw(asked)
