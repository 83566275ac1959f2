"""What is durably known of one lane, kept as one side record and shared by all contexts.

When the lane may be tried is in ``breaker`` and nowhere else. A record of an earlier version opens
(it has no more than `_PLAIN`, ``acks``, ``wait_until`` and ``batch``), and one of those opens this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fieldpost.destinations.base import Contact
from fieldpost.engine.batching import Size
from fieldpost.engine.breaker import CLOSED, WAIT_MS_MAX, Breaker, Rules
from fieldpost.engine.budget import Budget
from fieldpost.engine.explain import LANE_TEXT
from fieldpost.engine.health import Figures, Reaction, health, reaction
from fieldpost.engine.limits import BATCH_ITEMS_MAX
from fieldpost.engine.retry import RECONNECT
from fieldpost.engine.timeouts import Durations

#: Tables of the side records: what is known of a lane, and a person's last word on its breaker.
TABLE, WORD = "lane", "breaker"
ACTIONS = ("force_open", "force_close", "reset")
#: Contacts in which time alone changes nothing soon: ask rarely, a person or the link wakes it.
_QUIET_MS = {"update_required": 300_000, "signed_out": 60_000, "no_gateway": 300_000}
#: The contact that is the server's own failure. The others say that it is well, or is not reached
#: for a reason that no waiting of ours heals (a portal, a sign-in, an update, a limit).
_FAILED = "unreachable"
_PLAIN = ("contact", "text", "known", "failures", "cursor", "heard")


@dataclass(frozen=True, slots=True)
class LaneState:
    """``contact``: see `destinations.base.Contact`, or ``unproven`` before the first answer;
    ``known``: this server has answered as itself; ``failures``: answers, or their absence, since
    the last good one; ``acks``: send_ids whose results are durable here and not yet acknowledged
    over there; ``heard``: id of a person's last word that was followed; ``rules``: of the breaker,
    as configured here, not stored."""

    contact: str = "unproven"
    text: str = ""
    known: bool = False
    failures: int = 0
    cursor: int = 0
    acks: tuple[str, ...] = ()
    breaker: Breaker = field(default_factory=Breaker)
    size: Size = field(default_factory=Size)
    texts: Durations = field(default_factory=Durations)
    parts: Durations = field(default_factory=Durations)
    budget: Budget = field(default_factory=Budget)
    heard: str = ""
    rules: Rules = field(default_factory=Rules)

    @property
    def held(self) -> bool:
        """A person keeps the breaker open: nothing is sent, not even by hand."""
        return self.breaker.forced

    @property
    def open(self) -> bool:
        return self.contact == "online" and not self.held

    @property
    def word(self) -> str:
        """A key of `engine.explain.LANE_TEXT`, ``online`` or ``unproven``."""
        return "held" if self.held else self.contact

    @property
    def words(self) -> str:
        """What the server said, or what a person did, for people."""
        return LANE_TEXT["held"] if self.held else self.text

    @property
    def batch(self) -> int:
        """Items that the next request may hold."""
        return self.size.limit

    def wait_ms(self, now: int) -> int:
        """How long to wait yet; no clock that jumped makes it longer than the wait was."""
        return self.breaker.wait_ms(now, self.rules)

    # --- what happens ----------------------------------------------------------------------------

    def after(
        self,
        contact: Contact,
        now: int,
        fraction: float,
        *,
        took_ms: float = 0,
        question: bool = False,
    ) -> LaneState:
        """With what an answer, or its absence, said of the lane. ``question``: it was only asked
        whether it is there; that proves little of a lane whose breaker is closed."""
        took, rules = int(took_ms), self.rules
        if contact.ok:
            asked = question and self.breaker.mode == CLOSED
            breaker = self.breaker.reached() if asked else self.breaker.succeeded(now, took, rules)
            # Back after whatever it was: not with everything at once (known failure 22).
            back = self.contact not in ("online", "unproven")
            size = self.size.restarted() if back else self.size
            proven = replace(self, contact="online", text="", known=True, failures=0)
            return replace(proven, breaker=breaker, size=size)
        failures = self.failures + 1
        pause = contact.pause_ms or None  # a pause of no time is none
        backoff = RECONNECT.delay_ms(failures, fraction)
        if contact.state == _FAILED:
            breaker = self.breaker.failed(
                now, took, fraction, rules, backoff_ms=backoff, pause_ms=pause
            )
        else:
            breaker = self.breaker.paused(now, pause or _QUIET_MS.get(contact.state) or backoff)
        return replace(
            self,
            contact=contact.state,
            text=contact.text,
            failures=failures,
            breaker=breaker,
        )

    def supposed(self) -> LaneState:
        """Of a destination that cannot be asked how it is: the next item finds out."""
        size = self.size if self.contact in ("online", "unproven") else self.size.restarted()
        return replace(self, contact="online", text="", size=size)

    def probing(self, now: int) -> LaneState:
        """A request is about to go; store this first (see `Breaker.probing`)."""
        breaker = self.breaker.probing(now, self.rules)
        return self if breaker is self.breaker else replace(self, breaker=breaker)

    def lapsed(self, now: int, fraction: float) -> LaneState:
        """Without the probes that nobody heard of again: they have failed."""
        breaker = self.breaker.lapsed(now, fraction, self.rules)
        if breaker is self.breaker:
            return self
        return replace(self, contact="unproven", breaker=breaker, size=self.size.restarted())

    def told(self, word: Mapping[str, str] | None) -> LaneState:
        """With a person's word on the breaker (``{"id", "action"}``), unless it was heard before,
        or there is none. An action of a later version is left alone."""
        if word is None or word["id"] == self.heard:
            return self
        heard = replace(self, heard=word["id"])
        if word["action"] == "force_open":
            return replace(heard, breaker=self.breaker.force_open())
        if word["action"] == "force_close":
            return replace(heard, failures=0, breaker=self.breaker.force_close())
        if word["action"] == "reset":
            return replace(heard, failures=0, breaker=self.breaker.reset(), size=Size())
        return heard

    # --- what is read off it ---------------------------------------------------------------------

    def reaction(self, now: int, *, online: bool = True, depth: int = 0) -> Reaction:
        """What is done about the lane's health; ``depth``: items that wait."""
        return reaction(health(self._figures(now, online, depth)))

    def mean_ms(self, now: int) -> float:
        """Of the requests of the last five minutes."""
        return self.breaker.figures(now)[2]

    def as_health(self, now: int, *, online: bool = True, depth: int = 0) -> dict[str, Any]:
        """For a screen. ``breaker``: closed, open, half_open, held; ``failures`` counted of
        ``opens_at``; ``closes_at``: probes that must succeed; ``next_probe_at``: ms, None when
        nothing has to be waited for; ``success_rate`` (0 to 1) and ``mean_ms`` of the last five
        minutes, None where nothing was sent."""
        figures = self._figures(now, online, depth)
        waits = self.wait_ms(now)
        return {
            "health": str(health(figures)),
            "breaker": figures.breaker,
            "text": self.words,
            "failures": self.breaker.score,
            "opens_at": self.breaker.opens_at(self.rules),
            "closes_at": self.breaker.closes_at(self.rules),
            "next_probe_at": now + waits if waits and not self.held else None,
            "timeout_ms": self.texts.timeout_ms(),
            "batch": reaction(health(figures)).limit(self.batch),
            "requests": figures.requests,
            "success_rate": 1 - figures.failing if figures.requests else None,
            "mean_ms": int(figures.mean_ms) if figures.requests else None,
        }

    def _figures(self, now: int, online: bool, depth: int) -> Figures:
        requests, failing, mean_ms = self.breaker.figures(now)
        return Figures(online, self.breaker.word, requests, failing, mean_ms, depth)

    # --- as stored -------------------------------------------------------------------------------

    def dump(self) -> str:
        record = {name: getattr(self, name) for name in _PLAIN} | {
            "acks": self.acks,
            "wait_until": self.breaker.until,  # for a context of an earlier version
            "batch": self.size.limit,  # likewise
            "breaker": self.breaker.dump(),
            "size": self.size.dump(),
            "texts": self.texts.dump(),
            "parts": self.parts.dump(),
            "budget": self.budget.dump(),
        }
        return json.dumps(record)

    @classmethod
    def load(cls, text: str | None, rules: Rules | None = None) -> LaneState:
        rules = rules or Rules()
        if text is None:
            return cls(rules=rules)
        value = json.loads(text)
        breaker = value.get("breaker")
        if breaker is None:  # an earlier version: it kept no more than when to try again
            breaker = {"until": value.get("wait_until", 0), "wait": WAIT_MS_MAX}
        small = min(value.get("batch", BATCH_ITEMS_MAX), BATCH_ITEMS_MAX)
        size = value.get("size") or [BATCH_ITEMS_MAX, small if small < BATCH_ITEMS_MAX else 0]
        return cls(
            **{name: value[name] for name in _PLAIN if name in value},
            acks=tuple(value.get("acks", ())),
            breaker=Breaker.load(breaker),
            size=Size(*size),
            texts=Durations.load(value.get("texts")),
            parts=Durations.load(value.get("parts")),
            budget=Budget.load(value.get("budget")),
            rules=rules,
        )
