"""The one place where values cross between Python and JavaScript.

One crossing an operation: JSON text and one buffer go in, JSON text or one frame comes out
(docs/interfaces.md). Nothing here keeps a proxy alive longer than the call, except `Device` itself
and what `Device.subscribe` registered. JavaScript is looked up at call time: a memory snapshot of
the interpreter cannot hold a reference to it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from fieldpost.engine.errors import ERRORS, DatabaseError, QueueError

from .turns import together

if "_pyodide_core" in sys.modules:
    from pyodide.code import run_js
    from pyodide.ffi import JsException, create_proxy, to_js


def _glue_text() -> str:
    """Read when imported: after a snapshot is restored the package's files are gone."""
    path = files(__package__) / "glue.js"
    return path.read_text("utf-8") if path.is_file() else ""


GLUE = _glue_text()


def js_global() -> Any:
    """JavaScript's ``globalThis``."""
    import js

    return js


def as_queue_error(error: Any) -> QueueError:
    """A JavaScript rejection as the error of its code; `DatabaseError` for a code unknown here."""
    return ERRORS.get(error.name, DatabaseError)(error.message)


class Frame:
    """An answer with bytes in it: ``value`` is its JSON, `bytes_at` what a pair points into."""

    __slots__ = ("_data", "_start", "value")

    def __init__(self, data: bytes):
        self._start = 4 + int.from_bytes(data[:4], "little")
        self._data = data
        self.value: dict[str, Any] = json.loads(data[4 : self._start])

    def bytes_at(self, place: list[int]) -> bytes:
        """``place``: [offset, length]."""
        start = self._start + place[0]
        return self._data[start : start + place[1]]


class Device:
    """The glue's device (`fieldpostGlue.open`) in Python's types.

    Every method raises the `QueueError` whose code the glue rejected with.
    """

    def __init__(self, proxy: Any):
        self._proxy = proxy

    @classmethod
    async def open(cls, name: str = "fieldpost") -> Device:
        """Open database and keys; contexts and calls with one name share them."""
        together(asyncio.get_running_loop())
        scope = js_global()
        if not hasattr(scope, "fieldpostGlue"):
            run_js(GLUE)
        try:
            return cls(await scope.fieldpostGlue.open(name))
        except JsException as error:
            raise as_queue_error(error) from error

    async def call(self, method: str, *args: Any) -> Any:
        """Call with text, numbers, bytes or proxies; the plain answer (text, number, proxy)."""
        given = (to_js(arg) if isinstance(arg, bytes) else arg for arg in args)
        try:
            return await getattr(self._proxy, method)(*given)
        except JsException as error:
            raise as_queue_error(error) from error

    async def json(self, method: str, **args: Any) -> Any:
        """Call with one JSON argument for a JSON answer."""
        return json.loads(await self.call(method, json.dumps(args)))

    async def frame(self, method: str, text: str, *args: Any) -> Frame:
        """Call with JSON text (and bytes) for a frame."""
        answer = await self.call(method, text, *args)
        return Frame(answer.to_bytes())

    def tell(self, method: str, value: str | int) -> None:
        """Call a method that answers nothing and waits for nothing."""
        getattr(self._proxy, method)(value)

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Messages of other contexts; returns the way out, which also frees the proxy."""
        proxy = create_proxy(lambda text: callback(json.loads(text)))
        leave = self._proxy.subscribe(proxy)

        def unsubscribe() -> None:
            leave()
            proxy.destroy()

        return unsubscribe

    async def close(self) -> None:
        """Close the connection to the database and the channel."""
        await self._proxy.close()


def listen(target: Any, event: str, callback: Callable[[], None]) -> Callable[[], None]:
    """Add an event listener; returns the way out, which also frees the proxy."""
    proxy = create_proxy(lambda _event: callback())
    target.addEventListener(event, proxy)

    def stop() -> None:
        target.removeEventListener(event, proxy)
        proxy.destroy()

    return stop
