"""A bench of every adapter: of what has no fake among the vendors' they are made here (the gateway,
and the warehouse of docs/adapters.md)."""

from __future__ import annotations

import importlib
import pkgutil
import re
import runpy
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.destinations import roundup

from fieldpost.destinations.base import Discovered
from fieldpost.destinations.gateway import GatewayDestination
from fieldpost.ports import Response, Store, Transport
from fieldpost.testing import vendors
from fieldpost.testing.adaptercontract import Bench
from fieldpost.testing.adaptercontract.bench import Factory
from fieldpost.testing.fakes import FakeClock, FakeGateway
from fieldpost.testing.vendors import jira, salesforce
from fieldpost.testing.vendors.base import Ask, Record, Vendor, answer

DEVICE = "00000000-0000-7000-8000-00000000000d"
GUIDE = Path(__file__).parents[2] / "docs/adapters.md"


class GatewayRecords:
    """The inbox of a `FakeGateway` as records; its keys count for ever, so none is there twice."""

    unique = True

    def __init__(self, gateway: FakeGateway):
        self._gateway = gateway

    @property
    def records(self) -> list[Record]:
        ops = {op["id"]: op for op in self._gateway.ledger.values()}
        return [self._record(n, ops[id_]) for n, id_ in enumerate(self._gateway.inbox, 1)]

    def with_op(self, op: str) -> list[Record]:
        return [record for record in self.records if record.op == op]

    def _record(self, n: int, op: dict[str, Any]) -> Record:
        files = [
            (a["name"], a["type"], b"".join(self._gateway.files[a["id"]]))
            for a in op["attachments"]
        ]
        return Record(op["id"], f"FP-{n:06}", op["id"], op["payload"], 0, files)


def gateway(clock: FakeClock) -> Bench:
    fake = FakeGateway()

    def connect(store: Store) -> Transport:
        fake.store = store
        return fake

    destination = GatewayDestination("https://post.example/", DEVICE)
    return Bench(destination, GatewayRecords(fake), clock, connect=connect)  # type: ignore[arg-type]


class WarehouseFake(Vendor):
    """As docs/adapters.md describes it: keeps the key of each order for a day and is asked for one
    by it, of which it shows the first."""

    unique = True
    day_ms = 24 * 60 * 60 * 1000

    def authorised(self, ask: Ask) -> bool:
        return ask.headers.get("authorization") == "Bearer t"

    def route(self, ask: Ask) -> Response:
        if ask.method == "GET" and ask.path == "/orders":
            found = self.with_op(ask.query["key"])
            if found:
                return answer({"key": found[0].op, "number": found[0].number})
            return answer({"code": "NO_SUCH_ORDER", "title": "There is no such order."}, 404)
        key = ask.headers["idempotency-key"]
        fresh = [r for r in self.with_op(key) if self.now() - r.at < self.day_ms]
        if not fresh:
            number = str(len(self.records) + 1)
            self.records.append(Record(number, number, key, ask.json, self.now()))
            fresh = self.records[-1:]
        return answer({"key": key, "number": fresh[0].number}, 201)


def example() -> SimpleNamespace:
    """What the guide's block defines."""
    (block,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "guide.py"
        module.write_text(block)
        return SimpleNamespace(**runpy.run_path(str(module)))


_GUIDE = example()


def warehouse(clock: FakeClock) -> Bench:
    fake = WarehouseFake("https://warehouse.example", now=clock.now)
    adapter = _GUIDE.Warehouse("warehouse", url=fake.url + "/", token="t")
    order = {"article": "Pump 3", "pieces": 2}
    return Bench(adapter, fake, clock, kind="order", payload=order, kinds=[_GUIDE.ORDER])


def not_unique(clock: FakeClock) -> Bench:
    """An org whose field for the item's id is not Unique, which the adapter has heard."""
    adapter, fake, credentials = salesforce.bench(clock)
    fake.fields[adapter.external_id_field]["unique"] = False
    adapter.learn(Discovered(weaker="checked"))
    return Bench(adapter, fake, clock, credentials)


def _factories() -> dict[str, Factory]:
    found: dict[str, Factory] = {
        "gateway": gateway,
        "warehouse": warehouse,
        "roundup": roundup.bench,
        "salesforce-not-unique": not_unique,
        "jira-datacenter": partial(jira.bench, flavour="datacenter"),
    }
    for module in pkgutil.iter_modules(vendors.__path__):
        made = importlib.import_module(f"{vendors.__name__}.{module.name}")
        if hasattr(made, "bench"):
            found[module.name] = made.bench
    return found


#: Every adapter that there is: what makes a bench of it.
FACTORIES = _factories()
