"""Reading a request body with its limits enforced while it comes, not after."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from .problems import Problem
from .settings import Limits


async def read_body(request: Request, most: int, limits: Limits) -> bytes:
    """The body; never more than ``most`` bytes of it are in memory.

    What is a little too large is read to its end and thrown away, because a sender whose
    connection is reset while it still writes never sees the 413.

    Raises `Problem` TOO_LARGE, UNAVAILABLE (too slow), UNSUPPORTED_TYPE (a content encoding);
    `starlette.requests.ClientDisconnect` when it was cut.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem("UNSUPPORTED_TYPE", "The body must not have a content encoding.")
    too_large = Problem("TOO_LARGE", f"At most {most} bytes are taken.", limit_bytes=most)
    announced = int(request.headers.get("content-length", 0))
    waits_for_continue = request.headers.get("expect", "").lower() == "100-continue"
    if announced > most + (0 if waits_for_continue else limits.discard_bytes):
        raise too_large
    body, size = bytearray(), 0
    stream = aiter(request.stream())
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                async with asyncio.timeout(limits.idle_seconds):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                size += len(chunk)
                if size > most + limits.discard_bytes:
                    raise too_large
                if size > most:
                    body.clear()
                else:
                    body += chunk
    except TimeoutError:
        # Not 408: that would be the sender's own fault, and its to give up.
        raise Problem(
            "UNAVAILABLE", "The body did not come in time.", headers={"Retry-After": "5"}
        ) from None
    if size > most:
        raise too_large
    return bytes(body)
