"""What can go wrong with one request through the fault proxy."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

MODES = (
    "pass",
    "down",  # every connection is reset at accept, open ones at once; no path is spared
    "cut_before",  # reset after the request's head; nothing reaches the server
    "cut_during",  # the head and a part of the body reach the server, then both sides are cut
    "cut_after",  # the server has answered in full, the client gets a reset
    "http_500",
    "http_500_after",  # the server has acted and answered; the client gets a 500 in place of it
    "http_503_retry_after",
    "html_200",  # an error page of some middlebox
    "redirect_login",  # 302 to a login page
    "captive_portal",  # 200 with a sign-in page, as hotels answer
    "wrong_id",  # the server's answer with other ids in it
    "slow",  # the answer after `seconds`
    "mixed",  # each request one of `MIXED`, drawn
)
#: What a bad line does to requests one after the other.
MIXED = (
    "cut_before",
    "cut_during",
    "cut_after",
    "http_500_after",
    "http_503_retry_after",
    "redirect_login",
    "captive_portal",
    "slow",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """``times``: requests it still hits (None: until it is replaced). ``methods``: () is any.

    ``percent``: of those requests, drawn. ``share``: how much of the body `cut_during` lets
    through, 0 to 1. Raises `ValueError` for a mode that does not exist and a percent out of 0-100.
    """

    mode: str = "pass"
    times: int | None = None
    prefix: str = "/api/"
    methods: tuple[str, ...] = ()
    share: float = 0.5
    seconds: float = 1.0
    retry_after: int = 1
    percent: float = 100

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"no such mode: {self.mode}")
        if not 0 <= self.percent <= 100:
            raise ValueError(f"percent must be 0 to 100: {self.percent}")

    def hits(self, method: str, target: str, chance: random.Random) -> bool:
        """Whether this request suffers it. No draw decides over `down`: it is of the whole line."""
        if self.mode == "down":
            return True
        if not target.startswith(self.prefix) or (self.methods and method not in self.methods):
            return False
        return self.percent >= 100 or chance.random() * 100 < self.percent

    def drawn(self, chance: random.Random) -> Fault:
        """Itself, or of `mixed` one of those."""
        return replace(self, mode=chance.choice(MIXED)) if self.mode == "mixed" else self


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: ``bytes`` of its body that came, the mode it suffered, the status it got
    (0: none)."""

    method: str
    path: str
    bytes: int
    mode: str
    status: int
