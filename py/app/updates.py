"""The service worker: installed, watched, and replaced only when the person says so."""

import json

import js

from app import device
from app.device import DeviceError, promised

SKIP = '{"type": "SKIP_WAITING"}'
STATUS = '{"type": "STATUS"}'
#: Without requests Chromium ends a worker after 30 s at the latest, and the next takes over.
HELD_MS = 40000


class Updates:
    """``on_cached(ready)``: whether every file of the app is kept; ``on_update()``: one waits;
    ``on_hold(held)``: no requests from here while an update takes over, or again (awaited)."""

    def __init__(self, on_cached, on_update, on_hold, run):
        self._on_cached = on_cached
        self._on_update = on_update
        self._on_hold = on_hold
        self._run = run
        self._registration = None
        self._waiting = []  # for another version to be in control

    async def start(self):
        container = getattr(js.window.navigator, "serviceWorker", None)
        if container is None:
            return
        container.addEventListener("controllerchange", self._controller_changed)
        container.addEventListener("message", self._said)
        try:
            registration = await promised(container.register("./service-worker.js"))
        except DeviceError as error:
            # A static host without the file, or a browser set to refuse: the app works online.
            print("no offline copy:", error.code, error.message)
            return
        self._registration = registration
        registration.addEventListener("updatefound", self._found)
        self._look()
        await promised(container.ready)
        self.ask()

    def ask(self):
        """Ask the service worker whether it still has everything (a browser may clear caches)."""
        active = self._registration.active if self._registration else None
        if active is not None:
            active.postMessage(js.JSON.parse(STATUS))

    def _said(self, event):
        told = json.loads(js.JSON.stringify(event.data) or "null")
        said = told.get("type") if isinstance(told, dict) else None
        if said == "STATUS":
            self._on_cached(bool(told.get("ready")))
        elif said == "HOLD":
            self._run(self._hold(event.ports[0]))

    def _found(self, _event):
        worker = self._registration.installing
        if worker is not None:
            worker.addEventListener("statechange", lambda _event: self._look())

    def _look(self):
        """A worker that waits beside an active one is an update; the first one is none."""
        registration = self._registration
        if registration.waiting is not None and registration.active is not None:
            self._on_update()

    async def take_over(self):
        """Have the waiting version take over; whether it has. Another tab may have done it."""
        waiting = self._registration.waiting if self._registration else None
        if waiting is None:
            return True
        changed = self._change()
        waiting.postMessage(js.JSON.parse(SKIP))
        return await changed != device.LATE

    def _change(self):
        """A promise of the moment in which another version is in control, or `device.LATE`."""
        changed = js.Promise.new(lambda resolve, _reject: self._waiting.append(resolve))
        return device.first(changed, device.later(HELD_MS))

    def _controller_changed(self, _event):
        waiting, self._waiting = self._waiting, []
        for resolve in waiting:
            resolve("changed")

    async def _hold(self, port):
        """A version is about to take over: it is told as soon as nothing more comes from here."""
        changed = self._change()
        await self._on_hold(True)
        port.postMessage("held")
        await changed
        await self._on_hold(False)

    async def check(self):
        """Look for a newer version; quietly nothing without a network."""
        if self._registration is not None:
            try:
                await promised(self._registration.update())
            except DeviceError as error:
                print("update check:", error.code)

    async def snapshot(self):
        """Keep a memory snapshot of the engine, so that its next start is fast."""
        from pyscript import js_import  # noqa: PLC0415 (only the page's PyScript has it)

        try:
            modules = await js_import(
                js.URL.new("./static/vendor/pyodide/snapshot.mjs", js.document.baseURI).href
            )
            await modules[0].ensureSnapshot()
        except Exception as error:  # noqa: BLE001 (a faster start is all there is to lose)
            print("no snapshot:", json.dumps(str(error)))
