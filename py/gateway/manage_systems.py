"""What people at the gateway may ask of what is on both sides of its queue: the destinations behind
it and the devices before it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fieldpost.engine.errors import InvalidItem

from . import checks
from .gateway import Gateway
from .manage_queue import Check, Method
from .relayed import Relayed
from .systems import System


def _name(value: Any) -> str:
    return "" if isinstance(value, str) else "must be text"


def _object(value: Any) -> str:
    return "" if isinstance(value, dict) else "must be an object"


_NAMED: dict[str, Check] = {"name": _name}


class Behind:
    """The calls, by their names."""

    LOOKS: ClassVar[Mapping[str, Method]] = {
        "catalogue": Method(),
        "destinations": Method(),
        "dry_run": Method(
            {**_NAMED, "kind": _name, "payload": _object}, ("name", "kind", "payload")
        ),
        "devices": Method(),
    }
    ACTS: ClassVar[Mapping[str, Method]] = {
        "test_connection": Method(_NAMED, ("name",)),
        "revoke": Method({"id": _name}, ("id",)),
    }

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def call(self, method: str, args: dict[str, Any], mine: str) -> Any:
        """``mine``: the id of the asker's own token. Raises `InvalidItem`, also where there is no
        such method."""
        known = self.LOOKS.get(method) or self.ACTS.get(method)
        if known is None:
            raise InvalidItem(f"There is no method '{method}'.")
        known.check(args)
        if method == "catalogue":
            return {"destinations": [_in_short(each) for each in self._known()]}
        if method == "destinations":
            return await self._destinations()
        if method == "devices":
            return await self._devices(mine)
        if method == "revoke":
            return await self._revoke(args["id"], mine)
        system = self._system(args["name"])
        if method == "dry_run":
            shown = checks.dry_run(system.adapter, args["kind"], args["payload"])
            return _without_secrets(shown, [system])
        return await self._test(system)

    # --- destinations ----------------------------------------------------------------------------

    def _systems(self) -> Mapping[str, System]:
        relay = self._gateway.relay
        return {} if relay is None else relay.systems

    def _known(self) -> list[Relayed]:
        known = self._gateway.destinations.values()
        return [each for each in known if isinstance(each, Relayed)]

    def _system(self, name: str) -> System:
        system = self._systems().get(name)
        if system is None:
            raise InvalidItem(f"There is no destination '{name}'.", fields={"name": "is not known"})
        return system

    async def _destinations(self) -> list[dict[str, Any]]:
        if self._gateway.relay is not None:
            await self._gateway.relay.note_states()
        systems = self._systems()
        shown = [_described(each, systems[each.name]) for each in self._known()]
        told: list[dict[str, Any]] = _without_secrets(shown, list(systems.values()))
        return told

    async def _test(self, system: System) -> dict[str, Any]:
        """As its lane would ask, with our credential."""
        relay = self._gateway.relay
        if relay is None or relay.transport is None:
            raise InvalidItem("The gateway is starting. Try again.")
        contact = await checks.test_connection(system.adapter, relay.transport)
        told: dict[str, Any] = _without_secrets(
            {"state": contact.state, "text": contact.text}, [system]
        )
        return told

    # --- devices ---------------------------------------------------------------------------------

    async def _devices(self, mine: str) -> dict[str, Any]:
        """``{"devices": […], "others": operations that wait of devices which are not paired}``."""
        gateway = self._gateway
        seen = await asyncio.to_thread(gateway.devices.seen)
        waiting: dict[str, int] = {}
        for (_, device), n in (await gateway.database.read(lambda tx: tx.open_of())).items():
            key = device.partition("/")[0]
            waiting[key] = waiting.get(key, 0) + n
        shown = [
            {
                "id": each.id,
                "name": each.name,
                "role": each.role,
                "workspace": each.workspace,
                "paired_at": each.paired_at,
                "seen_at": seen.get(each.id),
                "waiting": waiting.pop(each.id, 0),
                "mine": each.id == mine,
            }
            for each in gateway.devices.all()
        ]
        return {"devices": shown, "others": sum(waiting.values())}

    async def _revoke(self, device_id: str, mine: str) -> dict[str, Any]:
        if device_id == mine:
            # Without this, nobody may be left to let anybody in.
            raise InvalidItem("You are signed in with this token: another operator can revoke it.")
        if not await asyncio.to_thread(self._gateway.devices.revoke, device_id):
            raise InvalidItem("It is not paired any more.")
        return await self._devices(mine)


def _in_short(known: Relayed) -> dict[str, Any]:
    described = known.describe()
    return {name: described[name] for name in ("name", "title", "kinds")}


def _described(known: Relayed, system: System) -> dict[str, Any]:
    """What an administrator looks at: how it is, what it takes and asks for, what goes where."""
    described = known.describe()
    kinds = {
        kind: {
            "fields": described["fields"][kind],
            "map": checks.preview(system.adapter, kind),
            "sample": checks.sample(kind),
        }
        for kind in described["kinds"]
    }
    return {
        **described,
        "type": system.type,
        "kinds": described["kinds"],
        "credential": system.credential is not None,
        "notes": list(known.said.notes),
        "of_kind": kinds,
    }


def _without_secrets(told: Any, systems: Sequence[System]) -> Any:
    """The same, with every secret of these hidden wherever it stands."""
    secrets = [
        text
        for system in systems
        if system.credential is not None
        for text in system.credential.secrets()
    ]
    return checks.hidden(told, secrets)
