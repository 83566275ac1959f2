"""The gateway's side of a page that shows the gateway's own queue: the calls of
`app.engine_client.EngineClient`, asked over the network. No worker, no storage of this device."""

import asyncio
import json

import js
from jsffi import JsException

from app.engine_client import EngineError

TIMEOUT_MS = 20000
#: While nobody answers, it is asked again this often.
AGAIN_MS = 3000

#: Why no call comes through -> in words (the browser itself asks for the token).
WORDS = {
    "gone": "The gateway does not answer",
    "signed_out": "The gateway does not know you: reload, and enter an operator's token",
    "elsewhere": "There is no gateway here: this page is for gateways, under manage/",
    "refused": "The gateway refuses to answer this page",
}
#: HTTP status -> which of these it is.
_WHY = {401: "signed_out", 404: "elsewhere", 405: "elsewhere"}


class RemoteEngine:
    """``on_state(state, words)`` hears "up", and why it is not, as a key of `WORDS`."""

    def __init__(self, url, on_state):
        self._url = url
        self._on_state = on_state
        self._state = "starting"

    @property
    def up(self):
        return self._state == "up"

    async def call(self, method, args=None):
        """The answer's ``ok``; raises `EngineError`."""
        status, text = await self._post(json.dumps({"method": method, "args": args or {}}))
        told = _read(text)
        if status == 200 and told is not None:
            self._now("up")
            if "error" in told:
                raise EngineError(told["error"])
            return told["ok"]
        if told is not None and told.get("code") in ("FORBIDDEN", "BAD_REQUEST"):
            raise EngineError({"code": told["code"], "message": told.get("detail")})
        if status in (429, 503):  # it is there, and busy or starting
            said = (told or {}).get("detail") or WORDS["gone"] + "."
            raise EngineError({"code": "UNAVAILABLE", "message": said})
        why = _WHY.get(status) or ("refused" if status == 403 else "gone")
        self._now(why)
        raise EngineError({"code": why.upper(), "message": WORDS[why] + "."})

    async def tell(self, _method, _args=None):
        """What a device tells its engine, a gateway finds out by itself."""

    async def run(self):
        """Until it answers for the first time; later calls say how it is."""
        while not self.up:
            try:
                await self.call("gateway")
            except EngineError:
                await asyncio.sleep_ms(AGAIN_MS)

    async def _post(self, body):
        """(status, text); status 0 where nobody answered."""
        options = js.JSON.parse(
            json.dumps(
                {
                    "method": "POST",
                    "headers": {"Content-Type": "application/json"},
                    "body": body,
                    "cache": "no-store",
                }
            )
        )
        options.signal = js.AbortSignal.timeout(TIMEOUT_MS)
        try:
            answer = await js.fetch(self._url, options)
            return (answer.status, await answer.text())
        except JsException:
            return (0, "")

    def _now(self, state):
        if state != self._state:
            self._state = state
            self._on_state(state, WORDS.get(state, ""))


def _read(text):
    """A JSON object, else None: a proxy in between answers with a page."""
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
