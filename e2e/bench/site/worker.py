"""The engine's side of the benchmarks, through the public API only; answers are JSON text."""

import asyncio
import gc
import json
import time
import traceback
from itertools import count

import js
from pyodide.ffi import create_proxy

import fieldpost

NAMES = (f"bench-{time.time_ns()}-{n}" for n in count())
TEXT = (
    "pump valve leaks under pressure near gate three while line two runs hot after restart and "
    "the alarm panel shows code seventeen operator says noise began monday filter was changed"
)
WORDS = TEXT.split()


def text(seed, length):
    """Words in an order of its own, cut to ``length`` characters."""
    out = []
    size = 0
    while size < length:
        seed = (seed * 1103515245 + 12345) % 2147483648
        word = WORDS[seed % len(WORDS)]
        out.append(word)
        size += len(word) + 1
    return " ".join(out)[:length]


def ticket(n):
    """600 bytes of canonical JSON (baseline.mjs makes the same)."""
    made = {
        "summary": f"Ticket {n:06d}",
        "description": "",
        "severity": "medium",
        "category": "hardware",
        "user": {"name": "Ada Example", "email": "ada@example.org"},
        "systemInfo": {"os": "Linux x86_64", "browser": "Chromium", "language": "en-GB"},
    }
    made["description"] = text(n, 600 - len(json.dumps(made, separators=(",", ":"))))
    return made


async def quiet(gateway="./", name=None):
    """A started queue that is paused: what is saved stays here until it is asked for."""
    name = name or next(NAMES)
    queue = await fieldpost.open(gateway, name=name)
    await queue.pause("measured")
    await queue.sync()  # the turn that the start began is over
    return queue, name


async def drop(name):
    done = asyncio.Future()
    request = js.indexedDB.deleteDatabase(name)
    ended = create_proxy(lambda _event: done.set_result(None))
    request.onsuccess = request.onerror = ended
    await done
    ended.destroy()


def ms(started):
    return (time.perf_counter() - started) * 1000


async def bulk(n, keep=False):
    queue, name = await quiet()
    payloads = [ticket(i) for i in range(n)]
    gc.collect()
    before = await used()
    started = time.perf_counter()
    items = await queue.enqueue_many("ticket", payloads)
    took = ms(started)
    assert len(items) == n
    grown = await used() - before
    await queue.close()
    if not keep:
        await drop(name)
    return {"ms": took, "stored": grown}


async def single(n):
    queue, name = await quiet()
    payloads = [ticket(i) for i in range(n)]
    each = []
    for payload in payloads:
        started = time.perf_counter()
        await queue.enqueue("ticket", payload)
        each.append(ms(started))
    await queue.close()
    await drop(name)
    return {"ms": sum(each), "each": each}


async def concurrent(n):
    queue, name = await quiet()
    payloads = [ticket(i) for i in range(n)]
    started = time.perf_counter()
    await asyncio.gather(*(queue.enqueue("ticket", payload) for payload in payloads))
    took = ms(started)
    await queue.close()
    await drop(name)
    return {"ms": took}


async def drain(n):
    """From the moment the pause ends until every item is sent and its answer stored."""
    queue, name = await quiet()
    for start in range(0, n, 1000):
        await queue.enqueue_many("ticket", [ticket(i) for i in range(start, min(n, start + 1000))])
    gc.collect()
    started = time.perf_counter()
    await queue.resume()
    status = await queue.sync()
    took = ms(started)
    assert status["counts"]["completed"] == n, status
    verified = await queue.verify()
    assert verified["ok"], verified
    await queue.close()
    await drop(name)
    gc.collect()
    return {"ms": took, **heap()}


def heap():
    """Bytes of the WebAssembly memory (it never shrinks), and Python objects alive."""
    import pyodide_js

    return {"wasm": pyodide_js._module.HEAP8.length, "objects": len(gc.get_objects())}


async def used():
    """Bytes of this origin's IndexedDB as the browser counts them; 0 where it does not."""
    told = json.loads(js.JSON.stringify(await js.navigator.storage.estimate()))
    return told.get("usageDetails", {}).get("indexedDB", 0)


CALLS = {"bulk": bulk, "single": single, "concurrent": concurrent, "drain": drain}
CHANNEL = js.BroadcastChannel.new("bench")


async def answer(asked):
    try:
        told = {"id": asked["id"], "ok": await CALLS[asked["call"]](*asked["args"])}
    except BaseException as error:  # the page has to hear of it, whatever it is
        told = {"id": asked["id"], "error": "".join(traceback.format_exception(error))}
    CHANNEL.postMessage(json.dumps(told))


def heard(event):
    asked = json.loads(event.data)
    if "call" in asked:
        tasks.append(asyncio.ensure_future(answer(asked)))


tasks = []
CHANNEL.onmessage = create_proxy(heard)
CHANNEL.postMessage('{"ready": "worker"}')
