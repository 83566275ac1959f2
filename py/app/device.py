"""What the browser keeps and can do: the storage glue, clock, locks, photos. No document here.

`fieldpostGlue` (docs/interfaces.md) seals and stores; every one of its calls is a promise whose
rejection carries a code and a sentence for people, which becomes a `DeviceError`.
"""

import asyncio
import json
import time

import js
from jsffi import JsException, to_js

window = js.window

#: Tabs that keep drafts of their own; further ones share the first's.
DRAFT_SLOTS = 8
#: A reloaded page may be up before the one it replaces has let go of its lock.
RELOAD_WAIT_MS = 1000
LATE = "late"
TIME_MAX_MS = 8640000000000000  # a JavaScript Date beyond this throws
PHOTO_LONGEST_PX = 1600
PHOTO_QUALITY = 0.85


class DeviceError(Exception):
    """Something the device could not do: a code to match on, and a sentence for people."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message


def now():
    """Milliseconds since 1970 (Python's clock: JavaScript's would arrive cut to 32 bits)."""
    return time.time_ns() // 1000000


def _glue():
    glue = getattr(window, "fieldpostGlue", None)
    if glue is None:
        raise DeviceError(
            "QUEUE_DATABASE_ERROR", "A part of the app did not load. Reload the page."
        )
    return glue


def uuid7():
    """A new identity; it needs no storage. Raises `DeviceError` when the glue did not load."""
    return _glue().uuid7()


async def promised(promise):
    """Await a promise; its rejection becomes a `DeviceError`."""
    try:
        return await promise
    except JsException as error:
        raise DeviceError(str(error.args[1]), str(error.args[2])) from None


class Device:
    """The glue's device, once `open` has succeeded."""

    def __init__(self):
        self._glue = None
        self._problem = DeviceError("QUEUE_STORAGE_MISSING", "The storage is still being opened.")
        self._tried = asyncio.Event()

    async def open(self, name):
        """Open database and keys; raises `DeviceError` saying what stands in the way."""
        try:
            self._glue = await self._open(name)
        except DeviceError as error:
            self._problem = error
            raise
        finally:
            self._tried.set()

    async def tried(self):
        """Returns once it is known whether the storage opens."""
        await self._tried.wait()

    async def _open(self, name):
        if window.isSecureContext is False:
            raise DeviceError(
                "QUEUE_INSECURE_CONTEXT",
                "The page was not opened over a secure connection, so the browser offers no "
                "encryption. Open it with https, or on this computer as localhost.",
            )
        return await promised(_glue().open(name))

    def _device(self):
        if self._glue is None:
            raise self._problem
        return self._glue

    @property
    def is_open(self):
        return self._glue is not None

    @property
    def problem(self):
        """The `DeviceError` with which the last opening failed."""
        return self._problem

    async def capture(self, capture):
        return json.loads(await promised(self._device().capture(json.dumps(capture))))

    async def save_draft(self, form, draft):
        await promised(self._device().saveDraft(form, json.dumps(draft)))

    async def load_draft(self, form):
        text = await promised(self._device().loadDraft(form))
        return json.loads(text) if isinstance(text, str) else None

    async def drop_draft(self, form):
        await promised(self._device().dropDraft(form))

    async def store_file(self, file, identity, limit, progress):
        text = await promised(self._device().storeFile(file, identity, limit, progress))
        return json.loads(text)

    async def drop_file(self, identity):
        await promised(self._device().dropFile(identity))

    async def file_url(self, identity):
        url = await promised(self._device().fileUrl(identity))
        return url if isinstance(url, str) else None

    async def has_file(self, identity):
        """Whether the storage has the whole file."""
        told = await promised(self._device().manifest(json.dumps({"id": identity})))
        return json.loads(told) is not None

    async def recall(self, identity, room):
        """A stored file's bytes into memory, as `hold`; None where the storage has it not."""
        held = await promised(self._device().recall(identity, room))
        return None if getattr(held, "parts", None) is None else held

    async def remember(self, undelivered):
        """How much would be missed if the browser deleted the storage, kept where it does not."""
        await promised(self._device().remember(undelivered))

    async def lost(self):
        """``{"count", "at"}`` of what was deleted and not yet said; None when nothing was."""
        return json.loads(await promised(self._device().lost()))

    async def loss_seen(self):
        await promised(self._device().lossSeen())

    async def file_copy(self, identity):
        """An object URL of the whole file, to be saved elsewhere; None when it cannot be read."""
        url = await promised(self._device().fileCopy(identity))
        return url if isinstance(url, str) else None

    async def undo_capture(self, identity):
        return str(await promised(self._device().undoCapture(identity))).lower() == "true"

    async def counts(self):
        return json.loads(await promised(self._device().counts()))

    async def persist(self):
        return str(await promised(self._device().persist()))


async def hold(file, identity, room):
    """A file's bytes into this tab's memory; takes the File's place in `Device.store_file`. Raises
    `DeviceError` when it has more than ``room`` bytes or cannot be read."""
    return await promised(_glue().hold(file, identity, room))


async def rescue_kept(passphrase, captures, held):
    """The URL of a rescue file made without the storage: ``captures`` as `Device.capture` takes
    them, ``held`` as `hold` gave them. Raises `DeviceError`."""
    files = js.Array.of(*held)
    return object_url(await promised(_glue().rescueKept(passphrase, json.dumps(captures), files)))


def warn_before_leaving(on):
    """Whether the browser asks before this tab is closed."""
    if getattr(window, "fieldpostGlue", None) is not None:
        _glue().warnBeforeLeaving(on)


async def storage_in_use():
    """``{"used", "quota"}`` in bytes; empty where the browser does not tell."""
    storage = getattr(window.navigator, "storage", None)
    if storage is None or getattr(storage, "estimate", None) is None:
        return {}
    told = json.loads(js.JSON.stringify(await promised(storage.estimate())))
    return {"used": told.get("usage"), "quota": told.get("quota")}


async def watch_battery(changed):
    """Call ``changed({"battery": 0 to 1, "charging": bool})`` now and whenever it changes; never
    where the browser does not tell (only Chromium does, and only its pages)."""
    if getattr(window.navigator, "getBattery", None) is None:
        return
    try:
        battery = await promised(window.navigator.getBattery())
    except DeviceError:
        return  # a policy of the page around this one forbids it

    def told(_event=None):
        changed({"battery": float(battery.level), "charging": battery.charging is True})

    battery.addEventListener("levelchange", told)
    battery.addEventListener("chargingchange", told)
    told()


async def facts():
    """What the browser says about device and system (`app.facts` puts it into words)."""
    navigator = window.navigator
    seen = {
        "userAgent": navigator.userAgent,
        "language": navigator.language,
        "screen": f"{window.screen.width}x{window.screen.height}",
        "timezone": js.Intl.DateTimeFormat().resolvedOptions().timeZone,
    }
    data = getattr(navigator, "userAgentData", None)
    if data is not None:
        asked = to_js(["architecture", "bitness", "model", "platformVersion"])
        hints = await promised(data.getHighEntropyValues(asked))
        seen["hints"] = json.loads(js.JSON.stringify(hints))
    return seen


async def tab_number(has_draft):
    """A number that no other open tab has: tabs do not overwrite each other's drafts.

    ``has_draft(n)`` tells whether that number left drafts behind. A reload finds its own number in
    the window's name and waits for its former self to let go; a new tab takes over drafts that
    nobody has open. A Web Lock holds the number; without locks every tab is the first.
    """
    locks = getattr(window.navigator, "locks", None)
    if locks is None:
        return 1
    numbers = list(range(1, DRAFT_SLOTS + 1))
    left = []
    for n in numbers:
        if await has_draft(n):  # (MicroPython cannot await inside a comprehension)
            left.append(n)  # noqa: PERF401
    for n in numbers:
        if window.name == f"fieldpost-{n}" and await _take(locks, n, RELOAD_WAIT_MS):
            return n
    for n in left + [n for n in numbers if n not in left]:
        if await _take(locks, n, 0):
            window.name = f"fieldpost-{n}"
            return n
    return 1


def _take(locks, n, wait_ms):
    """True once this tab has the number, which it keeps until it closes."""

    def ask(resolve, _reject):
        def got(lock):
            resolve(lock is not None)
            return None if lock is None else js.Promise.new(lambda _resolve, _reject: None)

        options = {"ifAvailable": True}
        if wait_ms:
            options = {"signal": js.AbortSignal.timeout(wait_ms)}
        asked = locks.request(f"fieldpost:tab:{n}", to_js(options), got)
        asked.catch(lambda _error: resolve(False))

    return js.Promise.new(ask)


async def reduce_photo(file, name, target):
    """A smaller copy without place or camera data: ``(file, None)``, or ``(None, why not)``."""
    if getattr(window, "OffscreenCanvas", None) is None:
        return (None, "this browser cannot reduce photos")
    try:
        bitmap = await js.createImageBitmap(file)
    except JsException:
        return (None, "kept as it is: it cannot be read as a picture here")
    width, height = target(bitmap.width, bitmap.height, PHOTO_LONGEST_PX)
    canvas = js.OffscreenCanvas.new(width, height)
    context = canvas.getContext("2d")
    context.imageSmoothingQuality = "high"
    context.drawImage(bitmap, 0, 0, width, height)
    bitmap.close()
    # Drawings and screenshots stay sharp as PNG; photos become JPEG whatever they were.
    wanted = "image/png" if file.type == "image/png" else "image/jpeg"
    options = to_js({"type": wanted, "quality": PHOTO_QUALITY})
    try:
        blob = await canvas.convertToBlob(options)
    except JsException:
        return (None, "kept as it is: there was no memory to reduce it")
    if wanted == "image/jpeg" and not name.lower().endswith((".jpg", ".jpeg")):
        name = name.rsplit(".", 1)[0] + ".jpg"
    return (js.File.new(js.Array.of(blob), name, to_js({"type": wanted})), None)


def object_url(file):
    return js.URL.createObjectURL(file)


def text_url(text, kind):
    """An object URL of a text, to be saved as a file."""
    return object_url(js.Blob.new(js.Array.of(text), to_js({"type": kind})))


def iso(at):
    """A time (ms) as ISO 8601, in UTC; None for none, or one that no calendar has."""
    if not isinstance(at, int) or abs(at) > TIME_MAX_MS:
        return None
    return js.Date.new(float(at)).toISOString()


def later(ms):
    """A promise of `LATE` after a while, for `first`."""
    return js.Promise.new(lambda resolve, _reject: js.setTimeout(lambda: resolve(LATE), ms))


def first(*promises):
    """What the first of these promises comes to."""
    return js.Promise.race(js.Array.of(*promises))


async def copy_text(text):
    """To the clipboard; False where the browser refuses."""
    clipboard = getattr(window.navigator, "clipboard", None)
    if clipboard is None:
        return False
    try:
        await clipboard.writeText(text)
    except JsException:
        return False
    return True


def on_changed(name, handler):
    """Call ``handler(message)`` for each message of the other contexts (worker, other tabs)."""
    channel = js.BroadcastChannel.new("fieldpost:" + name)

    def received(event):
        if isinstance(event.data, str):
            handler(json.loads(event.data))

    channel.onmessage = received
    return channel
