"""Attachments of one form: stored on this device the moment they are chosen, one after the other.

The bytes go from the browser's File through the glue into sealed parts; none pass through here. A
file that is taken off again stays stored until its Undo has gone.
"""

import asyncio

from app import device, dom, model
from app.device import DeviceError

IMAGE_SHOWN_BYTES_MAX = 20 * 1024 * 1024


def _refused(one):
    """It does not go along."""
    return one["state"] == "refused" or bool(one.get("over"))


class Files:
    """The list a form shows, and the queue that stores it."""

    def __init__(self, app, form, on_change):
        self.items = []
        self._app = app
        self._form = form
        self._on_change = on_change
        #: attachment id -> (the JS File it came from, whether to reduce it), while this page lives.
        self._sources = {}
        self._queue = []
        self._current = None
        self._settled = asyncio.Event()
        self._settled.set()

    def add(self, files, limits, keep_original):
        """Take these JS files; what the destination would refuse is refused here, unread.

        They are stored once the storage is open. Raises `DeviceError` when the glue did not load.
        """
        for file in files:
            facts = dom.file_facts(file)
            one = {
                "id": device.uuid7(),
                "name": facts["name"] or "pasted",
                "done": 0,
                "type": facts["type"],
                "size": facts["size"],
                "state": "waiting",
                "error": None,
            }
            taken = len([other for other in self.items if not _refused(other)])
            reducible = model.can_reduce(one["type"]) and not keep_original
            one["error"] = model.refusal(one["size"], reducible, taken, limits)
            self._sources[one["id"]] = (file, reducible)
            self.items.append(one)
            if one["error"]:
                one["state"] = "refused"
            else:
                self._queue.append(one)
        self._on_change()
        self._work()

    def _work(self):
        if self._settled.is_set() and self._queue:
            self._settled.clear()
            self._app.task(self._drain())

    async def _drain(self):
        try:
            await self._app.device.tried()
            while self._queue:
                one = self._queue.pop(0)
                if self._has(one):
                    self._current = one
                    file, reduce = self._sources[one["id"]]
                    limit = self._form.limits()["attachment_bytes"]
                    if one.get("held") is None:
                        await self._store(one, file, limit, reduce)
                    else:
                        await self._store(one, one["held"], limit, False)
        finally:
            self._current = None
            self._settled.set()

    async def settled(self):
        """Returns once no file is being stored or waits for it."""
        await self._settled.wait()

    def store_failed(self):
        """The storage works only now: store what could not be stored before."""
        states = ("failed", "kept")
        failed = [f for f in self.items if f["state"] in states and f["id"] in self._sources]
        for one in failed:
            one["state"], one["error"] = "waiting", None
            self._queue.append(one)
        if failed:
            self._on_change()
            self._work()

    def _has(self, one):
        return any(other is one for other in self.items)

    async def _store(self, one, file, limit, reduce):
        if reduce:
            one["state"] = "reducing"
            self._on_change()
            file = await self._reduced(one, file)
        if one["size"] > limit:
            one["state"] = "refused"
            one["error"] = model.limit_error("The file", one["size"], limit)
            self._on_change()
            return
        one["state"] = "storing"
        if one.get("held") is None:
            one["file"] = file
        self._on_change()

        def progress(done, _all):
            one["done"] = done
            self._on_change()

        try:
            kept = await self._app.device.store_file(file, one["id"], limit, progress)
        except DeviceError as error:
            await self._not_stored(one, error)
            return
        one["parts"] = kept["parts"]
        one["size"] = kept["size"]
        one["state"], one["held"] = "stored", None
        self._on_change(stored=True)
        self._show_picture(one)

    async def _not_stored(self, one, error):
        """While the storage fails this tab holds the bytes, as far as its memory goes."""
        one["state"], one["error"] = "failed", error.message
        if model.storage_fails(error.code):
            self._app.storage_problem(error)
            try:
                if one.get("held") is None:
                    await self._app.kept().hold(one["file"], one)
                one["state"], one["error"] = "kept", None
                self._show_picture(one)
            except DeviceError as lack:
                one["error"] = lack.message
        self._on_change()

    async def store_kept(self, files):
        """Those of ``files`` that only this tab holds. Raises `DeviceError`."""
        for one in files:
            if one["state"] == "kept":
                kept = await self._app.device.store_file(
                    one["held"], one["id"], one["size"], lambda _done, _all: None
                )
                one["parts"], one["state"] = kept["parts"], "stored"

    def _show_picture(self, one):
        shown = one["type"].startswith("image/") and one["size"] <= IMAGE_SHOWN_BYTES_MAX
        if shown and not one.get("thumb"):
            one["thumb"] = device.object_url(one["file"])
            self._on_change()

    async def _reduced(self, one, file):
        """The smaller copy, or the file itself with the reason why not."""
        before = one["size"]
        smaller, why_not = await device.reduce_photo(file, one["name"], model.target)
        if smaller is None:
            one["note"] = why_not
            return file
        facts = dom.file_facts(smaller)
        one["before"] = before
        one["name"], one["type"], one["size"] = facts["name"], facts["type"], facts["size"]
        one["note"] = "place and camera data removed"
        one["reduced"] = True
        return smaller

    def recheck(self, limits):
        """Another destination takes other files, and one file less makes room: what cannot go along
        says why, and what was refused and can go along now is stored."""
        taken = 0
        for one in self.items:
            source = self._sources.get(one["id"])
            reducible = source is not None and source[1] and not one.get("before")
            why = model.refusal(one["size"], reducible, taken, limits)
            if one["state"] != "refused":
                one["over"] = why
            elif why or source is None:
                one["error"] = why or one["error"]
            else:
                self._once_more(one, source[0])
            taken += not _refused(one)
        self._work()

    def _once_more(self, one, file):
        facts = dom.file_facts(file)
        one.update({"name": facts["name"] or "pasted", "type": facts["type"]})
        one.update({"size": facts["size"], "before": None, "done": 0})
        one["state"], one["error"] = "waiting", None
        self._queue.append(one)

    def use_original(self, identity):
        """Store the file as it was chosen instead of the reduced copy."""
        one = self.by_id(identity)
        source = self._sources.pop(identity, None)
        if one is None or source is None:
            return
        file = source[0]
        facts = dom.file_facts(file)
        limits = self._form.limits()
        if facts["size"] > limits["attachment_bytes"]:
            one["note"] = "the original is too large"
            self._on_change()
            return
        self._forget_picture(one)
        replaced = one["id"]
        one.update(
            {
                "id": device.uuid7(),
                "name": facts["name"],
                "type": facts["type"],
                "size": facts["size"],
                "state": "waiting",
                "before": None,
                "reduced": False,
                "held": None,
                "note": "original, with everything the camera wrote",
                "done": 0,
            }
        )
        self._sources[one["id"]] = (file, False)
        self._queue.append(one)
        self._on_change()
        self._work()
        self._app.task(self._drop(replaced))

    def by_id(self, identity):
        for one in self.items:
            if one["id"] == identity:
                return one
        return None

    def remove(self, identity):
        """Take a file off; returns (it, its place) for Undo."""
        one = self.by_id(identity)
        if one is None:
            return None
        place = self.items.index(one)
        self.items = [other for other in self.items if other is not one]
        self.recheck(self._form.limits())
        self._on_change(stored=True)
        return (one, place)

    def put_back(self, one, place):
        self.items.insert(place, one)
        self.recheck(self._form.limits())
        waits = one["state"] == "waiting" and not any(other is one for other in self._queue)
        if waits and self._current is not one:
            self._queue.append(one)  # its turn came while it was off
            self._work()
        self._on_change(stored=True)

    def forget(self, one):
        """Its Undo has gone: the bytes may go too (the glue stops storing them if it still is)."""
        self._forget_picture(one)
        self._sources.pop(one["id"], None)
        self._app.task(self._drop(one["id"]))

    def _forget_picture(self, one):
        if one.get("thumb"):
            dom.revoke(one["thumb"])
            one["thumb"] = None

    async def _drop(self, identity):
        try:
            await self._app.device.drop_file(identity)
        except DeviceError as error:
            # The engine collects what nobody refers to after a day.
            print("attachment not dropped:", error.code)

    async def restore(self, kept):
        """Show the files of a draft again; thumbnails come from the sealed parts."""
        for one in kept:
            one["state"] = "stored"
            one["done"] = one["size"]
            self.items.append(one)
        self.recheck(self._form.limits())
        self._on_change()
        for one in kept:
            if (one.get("type") or "").startswith("image/"):
                try:
                    one["thumb"] = await self._app.device.file_url(one["id"])
                except DeviceError as error:
                    one["state"], one["error"] = "failed", error.message
                self._on_change()

    def captured(self, saved):
        """The capture has these now."""
        for one in saved:
            self._forget_picture(one)
            self._sources.pop(one["id"], None)
        self.items = [one for one in self.items if not any(one is other for other in saved)]
        self._on_change()
