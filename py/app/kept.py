"""What only this tab holds because the storage failed: in memory, in the order of saving, until it
can be written; and a rescue file of it, which needs no storage.

Loaded when the storage fails for the first time. Whether it works again nobody tells, so it is
tried: at the next save, when the tab is looked at, when the network returns, and now and then.
"""

import asyncio

from app import device, dom, model
from app.device import DeviceError
from app.views import kept as view
from app.words import PASSPHRASE_MIN

#: Between two tries by itself; doubled each time.
FIRST_MS = 2000
LATEST_MS = 60000
#: Files that wait for a storage that works, together.
FILES_BYTES_MAX = 128 * 1024 * 1024


class Kept:
    """``app.state["kept"]``: {id, at, form, kind, title, files, why, made, draft}, oldest first;
    ``files`` are those of the form, ``made`` is what `device.Device.capture` takes."""

    def __init__(self, app):
        self.items = app.state["kept"]
        self._app = app
        self._lock = asyncio.Lock()
        self._wait_ms = FIRST_MS
        self._trying = False

    def room(self):
        """How many bytes of files still fit."""
        held = [one for item in self.items for one in item["files"]]
        for kind in self._app.forms:
            held.extend(self._app.forms[kind].files.items)
        return FILES_BYTES_MAX - sum([f["size"] for f in held if f.get("held") is not None])

    async def hold(self, file, one):
        """The bytes of a File into memory. Raises `DeviceError` when they do not fit."""
        one["held"] = await device.hold(file, one["id"], self.room())
        one["parts"] = one["held"].parts.length

    def add(self, form, made, files, error):
        """Keep what could not be saved; ``files`` are no longer the form's. ``error``: None for
        what was not tried, because others wait before it."""
        self.items.append(
            {
                "id": made["id"],
                "at": made["at"],
                "form": form,
                "kind": form.kind,
                "title": made["data"]["title"],
                "files": files,
                "why": error.message if error else self.items[-1]["why"],
                "made": made,
            }
        )
        self._app.task(self._recall(files))
        if error is None:
            self._app.task(self.write_back())
            self._app.show()
        else:
            self._app.storage_problem(error)
        if not self._trying:
            self._trying = True
            self._wait_ms = FIRST_MS
            self._app.task(self._keep_trying())

    async def _recall(self, files):
        """Files that were stored before the storage failed: a copy, as far as it can be had."""
        for one in files:
            if one.get("held") is not None:
                continue
            try:
                if one.get("file") is not None:
                    await self.hold(one["file"], one)
                else:
                    one["held"] = await self._app.device.recall(one["id"], self.room())
            except DeviceError as error:
                print("not in this tab's memory:", one["id"], error.code)
        self._app.show()

    async def _keep_trying(self):
        while self.items:
            await asyncio.sleep_ms(self._wait_ms)
            self._wait_ms = min(2 * self._wait_ms, LATEST_MS)
            await self.write_back()
        self._trying = False

    def rows(self, listing):
        """The outbox with its rows on top; below them nothing is said of an empty list."""
        known = self._app.state["outbox"]["rows"]
        shown = view.rows(self.items, device.now())
        return shown + ([] if known is not None and not known else listing)

    # Written when the storage works again

    async def write_back(self):
        """Save what is kept, in order.

        Each is saved once however often it is tried: its identity stays. What has no room, or a
        file that cannot be stored, does not keep the others waiting.
        """
        async with self._lock:
            done = []
            for item in list(self.items):
                try:
                    await self._write(item)
                except DeviceError as error:
                    item["why"] = error.message
                    if model.storage_fails(error.code):
                        self._app.storage_problem(error)
                        break
                    self._app.show()
                else:
                    self.items.remove(item)
                    done.append(item)
            if done:
                self._written(done)

    async def _write(self, item):
        await self._app.reopen()
        for one in item["files"]:
            held = one.get("held") is not None
            if held and one["state"] == "stored" and not await self._app.device.has_file(one["id"]):
                one["state"] = "kept"
        await item["form"].files.store_kept(item["files"])
        await item["form"].write_kept(item["made"])

    def _written(self, done):
        self._app.storage_works()
        for item in done:
            item["form"].written_back()
        self._app.notes.add(view.written(done), "good")
        self._app.show()
        self._app.saved_something()

    # The rescue file

    def ask(self):
        """The dialog for its passphrase."""
        question = {
            "view": lambda asked: view.dialog(asked, self.items),
            "form": view.FORM,
            "do": self._rescue,
            "done": None,
        }
        self._app.asking.ask(question, view.FIELD)

    async def _rescue(self, question, values):
        phrase = values.get("passphrase") or ""
        asking = self._app.asking
        if len(phrase) < PASSPHRASE_MIN:
            asking.refused(question, view.TOO_SHORT)
            dom.focus(view.FIELD)
            return
        asking.busy(question)
        items = list(self.items)
        files = [one for item in items for one in item["files"]]
        held = [one["held"] for one in files if one.get("held") is not None]
        try:
            url = await device.rescue_kept(phrase, [item["made"] for item in items], held)
        except DeviceError as error:
            asking.refused(question, error.message)
            return
        name = f"fieldpost-rescue-{device.now()}.txt"
        dom.download(url, name)
        question["said"], question["done"] = None, view.rescued(items, name)
        asking.draw(question)
