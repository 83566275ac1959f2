"""The page's side of the engine worker: calls, and a watch that replaces a worker that died.

A worker can die without a word (out of memory, a crash of the interpreter): it is asked every
`PING_EVERY_MS`, and when no answer came within `PING_WAIT_MS` it is ended and started anew. Its
locks and transactions end with it; the queue lies in the browser's storage, so nothing is lost.
"""

import asyncio
import json

import js
from jsffi import JsException
from pyscript import workers

from app import device

#: Together under the 10 s after which a dead worker must have been noticed.
PING_EVERY_MS = 2000
PING_WAIT_MS = 7000
#: A first start downloads and compiles; a slow phone on a slow line is given this long.
START_WAIT_MS = 120000
#: PyScript makes the worker a moment after its element, whether that is still there or not, and
#: tells nobody; where it could not be made there is none to wait for.
END_TRY_MS, END_TRIES = 20, 100
RESTART_AFTER_MS = (0, 2000, 5000, 15000, 60000)

_GONE = "gone"


class EngineError(Exception):
    """The engine said no: code, message, what to do, and the fields it is about."""

    def __init__(self, error):
        super().__init__(error.get("message") or "")
        self.code = error.get("code") or "QUEUE_ERROR"
        self.message = error.get("message") or "The engine could not do this."
        self.todo = error.get("todo") or ""
        self.fields = error.get("fields") or {}


class EngineClient:
    """``call`` the engine; ``on_state(state, words)`` hears starting, up, restarting, failed."""

    def __init__(self, name, src, config, on_state):
        self._name = name
        self._src = src
        self._config = config
        self._on_state = on_state
        self._script = None
        self._worker = None
        self._let_go = None
        self._gone = self._new_gone()
        self._up = asyncio.Event()
        self._may_run = asyncio.Event()
        self._may_run.set()
        self._halted = False  # and `run` has not seen it yet
        self._starts = 0

    def _new_gone(self):
        """A promise that says `_GONE` when this worker is given up: no call waits for ever."""

        def keep(resolve, _reject):
            self._let_go = resolve

        return js.Promise.new(keep)

    @property
    def up(self):
        return self._worker is not None

    async def call(self, method, args=None):
        """The answer's ``ok``; raises `EngineError`. Waits while the engine is starting."""
        if not self._may_run.is_set() and method not in REPEATABLE:
            text = "The app is being updated. Do this again when it is done."
            raise EngineError({"code": "QUEUE_ENGINE_GONE", "message": text})
        while True:
            await self._up.wait()
            answer = await self._ask(self._worker, method, args)
            if answer != _GONE:
                break
            if method not in REPEATABLE:
                raise EngineError(
                    {
                        "code": "QUEUE_ENGINE_GONE",
                        "message": "The engine was started again before it answered. "
                        "Look whether it happened, then try again.",
                    }
                )
        told = json.loads(answer)
        if "error" in told:
            raise EngineError(told["error"])
        return told["ok"]

    async def tell(self, method, args=None):
        """A hint that may be lost: the engine's own timer makes up for it."""
        if self.up:
            try:
                await self.call(method, args)
            except EngineError as error:
                print("engine:", method, error.code, error.message)

    async def _ask(self, worker, method, args):
        asked = worker.call(method, json.dumps(args or {}))
        try:
            return await device.first(asked, self._gone)
        except JsException as error:
            return json.dumps({"error": {"code": "QUEUE_ERROR", "message": str(error.args[2])}})

    async def halt(self):
        """End the worker: none runs, and nothing of it asks for anything, until `resume`."""
        self._halted = True
        self._may_run.clear()
        self._up.clear()
        self._worker = None
        await self._end()

    def resume(self):
        self._may_run.set()

    async def run(self):
        """Start, watch, replace; for the life of the page.

        Called once the page reacts: two interpreters that start at once keep each other waiting,
        and this one is missed later (saving does without it).
        """
        failures = 0
        self._put()
        while True:
            problem = await self._start()
            if problem is None:
                failures = 0
                self._on_state("up", "")
                self._up.set()
                await self._watch()
            self._up.clear()
            self._worker = None
            if self._halted:
                failures = 0
                self._on_state("starting", "")
            elif problem is None:
                self._on_state("restarting", "")
            else:
                failures += 1
                self._on_state("failed" if failures > 1 else "restarting", problem)
            await asyncio.sleep_ms(RESTART_AFTER_MS[min(failures, len(RESTART_AFTER_MS) - 1)])
            await self._end()
            await self._may_run.wait()
            self._halted = False
            self._gone = self._new_gone()
            self._put()

    async def _start(self):
        """Wait for the worker; None when it answers, else what went wrong."""
        asked = workers[self._script.getAttribute("name")]
        try:
            worker = await device.first(asked, self._gone, device.later(START_WAIT_MS))
            if isinstance(worker, str):
                return "it did not start within two minutes."
            asked = worker.call("ping", "{}")
            answer = await device.first(asked, self._gone, device.later(START_WAIT_MS))
        except JsException as error:
            return str(error.args[2]).strip().split("\n")[-1]
        if self._halted or answer == device.LATE:
            return "it started, but does not answer."
        self._worker = worker
        return None

    async def _watch(self):
        """Returns when the worker no longer answers."""
        while True:
            await asyncio.sleep_ms(PING_EVERY_MS)
            if self._worker is None:  # halted
                return
            asked_at = device.now()
            asked = self._worker.call("ping", "{}")
            try:
                answer = await device.first(asked, self._gone, device.later(PING_WAIT_MS))
            except JsException:
                return
            # A page that was frozen finds its own timer due before the answer: ask again.
            late = answer == device.LATE and device.now() - asked_at < 2 * PING_WAIT_MS
            if late or answer == _GONE:
                return

    async def _end(self):
        """End the worker and whatever waits for it."""
        self._let_go(_GONE)
        script, tries = self._script, END_TRIES
        while (worker := getattr(script, "xworker", None)) is None and tries:
            tries -= 1
            await asyncio.sleep_ms(END_TRY_MS)
        if worker is not None:
            worker.terminate()
        script.remove()

    def _put(self):
        """Have PyScript start a worker, each under a new name."""
        self._starts += 1
        name = self._name if self._starts == 1 else f"{self._name}-{self._starts}"
        script = js.document.createElement("script")
        script.type = "py"
        script.src = self._src
        script.setAttribute("worker", "")
        script.setAttribute("name", name)
        script.setAttribute("config", self._config)
        js.document.body.append(script)
        self._script = script


#: Asking these twice changes nothing, so a restart in between is not worth a message.
REPEATABLE = (
    "ping",
    "status",
    "list",
    "attention",
    "settings",
    "detail",
    "catalogue",
    "accounts",
    "link",
    "device",
    "nudge",
    "sync",
    "pause",
    "resume",
    "verify",
)
