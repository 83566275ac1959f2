"""The real gateway, with adapters of the tests' own for what may stand in its file of destinations:
a desk, a board that takes no files, and a counter that nobody can ask what it has."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tests.gateway.desk import DECLARED, DeskAdapter

from fieldpost.destinations.base import Declaration
from fieldpost.destinations.fieldmap import FieldMap, Rule, render
from fieldpost.engine.model import Item
from fieldpost.ports import Manifest, Request
from gateway import cli
from gateway.types import TYPES, Type


@dataclass
class BoardAdapter(DeskAdapter):
    declaration: Declaration = field(default=replace(DECLARED, attachments=False))


#: What goes where at the counter.
COUNTER_MAP: FieldMap = {
    "ticket": (
        Rule("summary", source="summary", most=80, required=True),
        Rule("text", text="{description}\n\nReported by: {user.name} {user.email}"),
        Rule("priority", source="severity", choices={"critical": 1, "high": 2}, otherwise=3),
        Rule("source", value="fieldpost"),
    )
}


@dataclass
class CounterAdapter(DeskAdapter):
    declaration: Declaration = field(
        default=replace(DECLARED, guarantee="repaired", lookup=None, attachments=False)
    )
    fields: FieldMap = field(default_factory=lambda: COUNTER_MAP)

    def intent(self, item: Item, body: bytes, manifests: Sequence[Manifest]) -> bytes:
        record = render(self.fields[item.kind], item, json.loads(body))
        return json.dumps({"op": item.id, **record}).encode()

    def probe(self) -> Request | None:
        return self.signed(Request("GET", f"{self.url}/fields"))


if __name__ == "__main__":
    TYPES.update(
        desk=Type(DeskAdapter, ("url",)),
        board=Type(BoardAdapter, ("url",)),
        counter=Type(CounterAdapter, ("url",)),
    )
    sys.exit(cli.main())
