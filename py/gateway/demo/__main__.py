"""``python -m gateway.demo``: the demo, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from fieldpost.testing.vendors.server import listening

from .demo import running
from .switchboard import Switchboard


def main() -> None:
    """Prints its addresses when all of it runs."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo", description=__doc__)
    parser.add_argument("--site", type=Path, required=True, help="folder of the built app")
    parser.add_argument("--port", type=int, default=0, help="of the app; 0: any free one")
    parser.add_argument("--system", action="append", metavar="NAME", help="only these (repeat it)")
    asked = parser.parse_args()
    # Every fault of a line is a line of the gateway's log, and there will be many.
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.CRITICAL)
    asyncio.run(_serve(asked.site, asked.port, asked.system))


async def _serve(site: Path, port: int, names: list[str] | None) -> None:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, ended.set)
    async with (
        running(site=site, port=port, names=names) as demo,
        listening(Switchboard(demo, site / "static").app()) as address,
    ):
        inboxes = "".join(
            f"\n  {bench.title:<11}http://{address}/inbox/{name}"
            for name, bench in demo.benches.items()
        )
        sys.stdout.write(
            f"The switchboard is at http://{address}/ (Ctrl-C ends the demo)\n"
            f"The app is at {demo.url}/\nInboxes:{inboxes}\n"
        )
        sys.stdout.flush()
        await ended.wait()


if __name__ == "__main__":
    main()
