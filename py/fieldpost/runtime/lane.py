"""What is durably known of one lane, kept as one side record and shared by all contexts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

from fieldpost.destinations.base import Contact
from fieldpost.engine.limits import BATCH_ITEMS_MAX
from fieldpost.engine.retry import DELAY_MS_MAX, RECONNECT

#: Table of the side records.
TABLE = "lane"
#: Contacts in which time alone changes nothing soon: ask rarely, a person or the link wakes it.
_QUIET_MS = {"update_required": 300_000, "signed_out": 60_000, "no_gateway": 300_000}


@dataclass(frozen=True, slots=True)
class LaneState:
    """``contact``: see `destinations.base.Contact`, or ``unproven`` before the first answer;
    ``known``: this server has answered as itself; ``wait_until``: ms, no request before it;
    ``acks``: send_ids whose results are durable here and not yet acknowledged over there."""

    contact: str = "unproven"
    text: str = ""
    known: bool = False
    failures: int = 0
    wait_until: int = 0
    batch: int = BATCH_ITEMS_MAX
    cursor: int = 0
    acks: tuple[str, ...] = field(default=())

    @property
    def open(self) -> bool:
        return self.contact == "online"

    def wait_ms(self, now: int) -> int:
        """How long to wait yet; a clock that jumped back cannot make it longer than any delay."""
        return max(0, min(self.wait_until - now, DELAY_MS_MAX))

    def after(self, contact: Contact, now: int, fraction: float) -> LaneState:
        """With what an answer, or its absence, said of the lane."""
        if contact.ok:
            return replace(self, contact="online", text="", known=True, failures=0, wait_until=0)
        failures = self.failures + 1
        delay = contact.pause_ms
        if delay is None:
            delay = _QUIET_MS.get(contact.state) or RECONNECT.delay_ms(failures, fraction)
        return replace(
            self,
            contact=contact.state,
            text=contact.text,
            failures=failures,
            wait_until=now + min(delay, DELAY_MS_MAX),
        )

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str | None) -> LaneState:
        if text is None:
            return cls()
        value = json.loads(text)
        known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        known["acks"] = tuple(known.get("acks", ()))
        return cls(**known)
