"""``python -m gateway``: serve, or pair and unpair devices."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from fieldpost.destinations.base import Contact
from fieldpost.engine.errors import InvalidItem

from . import checks
from .devices import DEFAULT_WORKSPACE
from .direct import overlay_of, read_file, write
from .gateway import Gateway, Ways
from .settings import CannotStart, Settings
from .storage import open_devices, prepare
from .systems import System, read_systems
from .types import TYPES

#: Lower case, no path, no user, no wildcard, no default port (RFC 6454 section 6.1).
_ORIGIN = re.compile(
    r"http://[a-z0-9._-]+(:(?!80\b)\d+)?|https://[a-z0-9._-]+(:(?!443\b)\d+)?"
    r"|https?://\[[0-9a-f:]+\](:\d+)?"
)
#: Requests under way get this long when the process is asked to end.
_GRACE_SECONDS = 10


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 with a sentence on stderr when it cannot start."""
    arguments = _parser().parse_args(argv)
    try:
        done: int = arguments.run(arguments)
    except CannotStart as reason:
        sys.stderr.write(f"Fieldpost does not start. {reason}\n")
        return 2
    return done


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    parser.set_defaults(run=_serve)
    _add_data(parser)
    parser.add_argument("--site", type=Path, help="folder of the built app")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name it is reached by"
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        type=_origin,
        metavar="ORIGIN",
        help="an origin whose pages may deliver here (https://app.example)",
    )
    parser.add_argument(
        "--connect",
        action="append",
        default=[],
        type=_origin,
        metavar="ORIGIN",
        help="an origin the page may reach besides its own",
    )
    _add_destinations(parser)
    commands = parser.add_subparsers(title="devices")
    pair = commands.add_parser("pair", help="let a device deliver; prints its token once")
    pair.set_defaults(run=_pair)
    _add_data(pair)
    pair.add_argument("--name", required=True, help="what people call it")
    pair.add_argument("--workspace", default=DEFAULT_WORKSPACE)
    people = pair.add_mutually_exclusive_group()
    people.add_argument(
        "--reader", action="store_true", help="may only look, at /inbox, /manage and /metrics"
    )
    people.add_argument(
        "--operator", action="store_true", help="may look there, and act on the queue at /manage"
    )
    test = commands.add_parser("test", help="ask each destination whether it lets us in")
    test.set_defaults(run=_test)
    _add_folder(test, default=argparse.SUPPRESS)  # what was said before the command stays
    _add_destinations(test, required=True)
    dry = commands.add_parser(
        "dry-run", help="print the request that would create an item; sends nothing"
    )
    dry.set_defaults(run=_dry_run)
    _add_destinations(dry, required=True)
    dry.add_argument("name", help="of the destination")
    dry.add_argument("--kind", default="ticket")
    dry.add_argument("--payload", type=Path, metavar="FILE", help="JSON; else an example")
    direct = commands.add_parser(
        "direct", help="tell a built app, for a static host, of what browsers deliver to"
    )
    direct.set_defaults(run=_direct)
    _add_destinations(direct, required=True)
    direct.add_argument("--site", type=Path, required=True, help="folder of the built app")
    direct.add_argument(
        "--connect", action="append", default=[], type=_origin, metavar="ORIGIN", help="as above"
    )
    unpair = commands.add_parser("unpair", help="forget a device; its token stops working at once")
    unpair.set_defaults(run=_unpair)
    _add_data(unpair)
    unpair.add_argument("--name", required=True)
    return parser


def _origin(text: str) -> str:
    """As browsers write it in ``Origin``; anything wider or looser is refused."""
    if not _ORIGIN.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no origin; write scheme, host and port only, as https://app.example:8443"
        )
    return text


def _add_folder(parser: argparse.ArgumentParser, **named: Any) -> None:
    parser.add_argument("--data", type=Path, help="folder of its data", **named)


def _add_data(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser, default=Path("data"))
    parser.add_argument(
        "--store",
        default=os.environ.get("STORE") or None,
        metavar="URL",
        help="redis://host:port/db?queue=name: kept there instead, by any number of gateways"
        " (docs/deployment.md); also the variable STORE",
    )
    parser.add_argument(
        "--keys", type=Path, metavar="FILE", help="key file, when it is not keys.json in --data"
    )


def _place(arguments: argparse.Namespace) -> Settings:
    return Settings(data=arguments.data, store=arguments.store, keys=arguments.keys)


def _add_destinations(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument(
        "--destinations",
        type=Path,
        metavar="FILE",
        required=required,
        help="TOML file that names the systems behind this gateway (docs/destinations.md)",
    )


def _test(arguments: argparse.Namespace) -> int:
    systems = read_systems(arguments.destinations, TYPES)
    contacts = asyncio.run(_tested(systems, arguments.data))
    for name, contact in contacts.items():
        _say(f"{name}: {contact.state}" + (f" ({contact.text})" if contact.text else ""))
    return int(any(checks.fails(contact) for contact in contacts.values()))


async def _tested(systems: Sequence[System], data: Path) -> dict[str, Contact]:
    """As the gateway with this folder would find them. The folder is made only where a destination
    writes to it."""
    writes = any(each.type == "file" for each in systems)
    ways = Ways(data if writes else None)
    try:
        if writes:
            prepare(data)
        outward = ways(None)
    except OSError as error:
        raise CannotStart(f"{data} cannot be written ({error.strerror}).") from error
    try:
        return await checks.test_all(systems, outward)
    finally:
        await ways.close()


def _dry_run(arguments: argparse.Namespace) -> int:
    systems = {each.name: each for each in read_systems(arguments.destinations, TYPES)}
    system = systems.get(arguments.name)
    if system is None:
        raise CannotStart(f"There is no destination {arguments.name!r}: {', '.join(systems)}.")
    payload = checks.sample(arguments.kind)
    if arguments.payload is not None:
        try:
            payload = json.loads(arguments.payload.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CannotStart(f"{arguments.payload} is not readable as JSON ({error}).") from error
    try:
        shown = checks.dry_run(system.adapter, arguments.kind, payload)
    except InvalidItem as refused:
        for name, why in refused.fields.items():
            _say(f"{name} {why}")
        return 1
    _say(json.dumps(shown, indent=2, ensure_ascii=False))
    return 0


def _pair(arguments: argparse.Namespace) -> int:
    role = "reader" if arguments.reader else "operator" if arguments.operator else "device"
    token = open_devices(_place(arguments)).pair(arguments.name, arguments.workspace, role)
    _say(f"Token of {arguments.name}, shown only now:\n{token}")
    return 0


def _unpair(arguments: argparse.Namespace) -> int:
    gone = open_devices(_place(arguments)).unpair(arguments.name)
    _say(f"{gone} forgotten.")
    return 0 if gone else 1


def _serve(arguments: argparse.Namespace) -> int:
    settings = Settings(
        data=arguments.data,
        store=arguments.store,
        keys=arguments.keys,
        site=arguments.site,
        destinations=arguments.destinations,
        host=arguments.host,
        port=arguments.port,
        allow_hosts=frozenset(name.lower() for name in arguments.allow_host),
        allow_origins=frozenset(arguments.allow_origin),
        direct_origins=tuple(arguments.connect),
    )
    if not settings.loopback and not open_devices(settings).all():
        raise CannotStart(
            f"{settings.host} can be reached from other computers, and no device is paired."
            " Pair one first (python -m gateway pair --name ...) and put TLS in front,"
            " or listen on 127.0.0.1."
        )
    file = settings.destinations
    systems = [] if file is None else read_systems(file, TYPES)
    settings = _with_direct(settings)
    listener = _listen(settings)
    gateway = Gateway(settings, systems=systems)
    try:
        _run(gateway, listener)
    finally:
        gateway.close()
    return 0


def _with_direct(settings: Settings) -> Settings:
    """With the destinations that browsers deliver to by themselves, where the file names some."""
    found = [] if settings.destinations is None else read_file(settings.destinations)[1]
    if not found:
        return settings
    overlay = overlay_of(found, settings.direct_origins)
    return replace(settings, direct=overlay.told, direct_origins=overlay.origins)


def _direct(arguments: argparse.Namespace) -> int:
    found = read_file(arguments.destinations)[1]
    changed = write(arguments.site, overlay_of(found, arguments.connect))
    for one in found:
        _say(f"{one.name}: browsers deliver to {', '.join(one.origins)}")
    _say(f"Written: {', '.join(changed) or 'nothing, it was so already'}")
    return 0


def _listen(settings: Settings) -> socket.socket:
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio turns Nagle's delay off only for sockets that say they are TCP; with
    # it, a small answer waited 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, settings.port))
    except OSError as error:
        listener.close()
        raise CannotStart(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror})."
            " Choose another port with --port."
        ) from None
    return listener


def _run(gateway: Gateway, listener: socket.socket) -> None:
    # Imported here: pairing does not need a server, and starts in half the time.
    from .server import server_of  # noqa: PLC0415

    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.INFO)
    server = server_of(gateway, _GRACE_SECONDS)
    # uvicorn drains and then raises the signal again: end with 0 instead of by the signal.
    signal.signal(signal.SIGTERM, _leave)
    listener.listen(server.config.backlog)
    host, port = gateway.settings.host, listener.getsockname()[1]
    root = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    _say(f"Fieldpost is at {root} (inbox: {root}inbox)")
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how one stops it
        server.run(sockets=[listener])


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    sys.exit(0)
