"""Whether a lane may send now, and what its turns amount to: settings, gates, averages, history.

`Pacing` belongs to one driver. What must survive is in two side records of the lane, which travel
in the drainer's own commits; only the holder of the drain lock writes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fieldpost.engine import network, pacing, power, windows
from fieldpost.engine.model import Item
from fieldpost.engine.network import Hints, Meter
from fieldpost.engine.pacing import Held
from fieldpost.engine.power import Device, Thrift
from fieldpost.engine.scheduling import Rule, is_text, observed
from fieldpost.engine.speed import Speed, ms_left
from fieldpost.engine.transitions import State
from fieldpost.ports import Clock, Store, Surroundings

from . import settings as kept
from .backlog import backlog
from .committer import Write
from .memory import Memory, Turn
from .settings import Settings
from .together import Together

#: Tables of the side records, by lane.
TABLE, HISTORY = "scheduling", "history"
HISTORY_MAX = 50
#: Settings older than this are read again: contexts that hear no message see a change too.
_FRESH_MS = 1_000
_SENT = frozenset({State.COMPLETED, State.HANDED_OVER})
_WAITING = (State.PENDING, State.UNKNOWN)
_UNDER_WAY = (*_WAITING, State.IN_PROGRESS)


class Pacing:
    """See the module. ``hints``, ``offset``: what the host says, nothing and UTC where it does
    not."""

    def __init__(self, store: Store, clock: Clock, lane: str, around: Surroundings | None = None):
        self._store = store
        self._clock = clock
        self._lane = lane
        self._around = around
        self.meter = Meter()
        self.settings = Settings()
        self.memory = Memory()
        self.turn = Turn(0)
        self._read_at: float | None = None
        self._began = 0.0
        self._speed = Speed()
        self._began_metered = False
        self._recorded = False  # the turn under way is the first in the history
        self._together = Together(store, lane)
        self._file_age_ms = 0  # of the oldest ready file, while the battery is low
        self._began_file_age_ms = 0
        self._bytes_left: int | None = None  # when the turn's progress was first asked for

    # --- the host --------------------------------------------------------------------------------

    @property
    def hints(self) -> Hints:
        return self._around.hints() if self._around is not None else Hints()

    @property
    def device(self) -> Device:
        return self._around.device() if self._around is not None else Device()

    def offset(self, at: int) -> int:
        """Local time minus UTC at a moment, ms: the user's setting, else the device's."""
        fixed = self.settings.utc_offset_minutes
        if fixed is not None:
            return fixed * 60_000
        return self._around.utc_offset_ms(at) if self._around is not None else 0

    # --- settings --------------------------------------------------------------------------------

    def forget(self) -> None:
        """Another context changed something: read the settings again before the next use."""
        self._read_at = None

    async def refresh(self) -> Settings:
        """The settings as they are, at most a second old."""
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= _FRESH_MS:
            self.settings = await kept.read(self._store)
            self._read_at = now
        return self.settings

    # --- gates -----------------------------------------------------------------------------------

    async def held(self, *, by_hand: bool = False) -> Held | None:
        """Why the lane does not begin to send; None when it may. A pause is not among them."""
        stopped = await self.stopped(by_hand=by_hand)
        if stopped is not None or by_hand or self.settings.sync == "immediate":
            return stopped
        now = self._clock.now()
        if self.settings.sync == "scheduled":
            return self._held_by_schedule(now, await self._slot_kept())
        return await self._held_for_others(now)

    async def stopped(self, *, by_hand: bool = False, begun: bool = False) -> Held | None:
        """Why it does not go on sending. ``begun``: in the middle of a turn. One that was let begin
        on a network that costs sends all there is, not just until less than a megabyte is left."""
        settings, now = await self.refresh(), self._clock.now()
        await self._note_file_age(now)
        closed = [w for w in settings.windows if w.of(self._lane, "closed")]
        if closed and windows.inside(closed, now, self.offset):
            return pacing.maintenance(windows.next_change(closed, now, self.offset), self.offset)
        if by_hand or not settings.wait_for_unmetered or not self.hints.metered:
            return None
        if begun and self._began_metered:
            return None
        mode = await self._mode(now)
        return pacing.unmetered() if mode == "wait_for_unmetered" else None

    async def _mode(self, now: int) -> network.Mode:
        hints = self.hints
        oldest_ms, waiting = await backlog(self._store, _WAITING, now)
        return network.mode(
            online=True,
            metered=hints.metered,
            quality=self.meter.quality(hints),
            mbps=self.meter.mbps(hints) or 0,
            oldest_ms=oldest_ms,
            waiting=waiting,
        )

    def _held_by_schedule(self, now: int, done: int) -> Held | None:
        times, every = self.settings.times, self.settings.every_minutes
        slot = windows.latest_slot(times, every, now, self.offset)
        # A moment of the future is from before the clock was set back: it holds up nothing.
        kept_until = max(at for at in (0, done, self.settings.sync_since) if at <= now)
        if slot is not None and slot > kept_until:
            return None
        return pacing.scheduled(windows.next_slot(times, every, now, self.offset), self.offset)

    async def _slot_kept(self) -> int:
        return Memory.load(await self._store.side(TABLE, self._lane)).slot

    async def _held_for_others(self, now: int) -> Held | None:
        """`batched`. Only texts wait for one another: a file whose text is sent is under way."""
        settings = self.settings
        at = await self._together.due_at(
            settings.batch_items, settings.batch_seconds * 1000, now, self.thrift().may_go
        )
        return None if at is None or at <= now else pacing.batched(at, self.offset)

    # --- what is put off to spare the device -----------------------------------------------------

    def thrift(self, *, by_hand: bool = False, file_age_ms: int = 0) -> Thrift:
        """What sending is held to now, as of the latest `stopped`."""
        return power.thrift(
            self.device,
            wanted=self.settings.save_power,
            by_hand=by_hand,
            file_age_ms=max(self._file_age_ms, file_age_ms),
        )

    def _of_turn(self) -> Thrift:
        """A file that is under way is not among the ready ones: its age at the beginning counts."""
        return self.thrift(by_hand=self.turn.by_hand, file_age_ms=self._began_file_age_ms)

    @property
    def may_go(self) -> Callable[[int], bool]:
        """Whether rows of a level go now, in this turn; those that do come first in the index."""
        return self._of_turn().may_go

    def timer_ms(self, usual: int) -> int:
        """After how long to look for work though nothing happened."""
        return usual * self.thrift().timer

    async def _note_file_age(self, now: int) -> None:
        """The first row of each level is the oldest of it: two reads, whatever waits."""
        self._file_age_ms = 0
        if self.settings.save_power and self.device.low:
            keys = await self._store.ready_keys(self._lane, 1)
            rows = await self._store.get([key.id for key in keys if not is_text(key.level)])
            self._file_age_ms = max((now - row.item.created_at for row in rows), default=0)

    def parked_until(self, item: Item, now: int) -> tuple[bool, int | None]:
        """Whether the item's kind must wait for a window now, and for when that begins."""
        if item.kind not in self.settings.disruptive_kinds:
            return False, None
        found = [w for w in self.settings.windows if w.of(self._lane, "disruptive")]
        if not found or windows.inside(found, now, self.offset):
            return False, None
        return True, windows.next_change(found, now, self.offset)

    def why(self, item: Item, now: int) -> str | None:
        """A sentence that is about this item only, None when there is none."""
        if item.state not in _WAITING:
            return None
        parked, until = self.parked_until(item, now)
        if parked:
            return pacing.in_window(until, self.offset)
        return None if self.thrift().may_go(item.level) else power.FILES_TEXT

    # --- turns -----------------------------------------------------------------------------------

    async def begin(self, *, by_hand: bool) -> None:
        """A turn begins."""
        self.turn = Turn(self._clock.now(), by_hand)
        await self._note_file_age(self.turn.at)
        self._began_file_age_ms = self._file_age_ms
        self._began = self._clock.monotonic()
        self._speed, self._bytes_left = Speed(self._began), None
        self._began_metered, self._recorded = self.hints.metered, False
        self.memory = Memory.load(await self._store.side(TABLE, self._lane))

    def rule(self, now: int) -> Rule:
        """How the next claim chooses."""
        settings, memory = self.settings, self.memory
        bound = settings.max_wait_minutes * 60_000
        if not 0 <= now - memory.last < bound or memory.since > now:
            memory.since = now
        memory.last = now
        shared = settings.share_by_owner
        return Rule(settings.strategy, bound, memory.since, memory.averages, shared)

    def network(self) -> dict[str, Any]:
        """What is known of the network and the device, for `Queue.status`."""
        hints, meter, thrift = self.hints, self.meter, self.thrift()
        return {
            "quality": meter.quality(hints),
            "stability": round(meter.stability, 2),
            "latency_ms": meter.latency_ms(hints),
            "mbps": meter.mbps(hints),
            "type": hints.type,
            "metered": hints.metered,
            **asdict(self.device),
            "thrift": {"reason": thrift.reason, "text": thrift.text} if thrift.reason else None,
        }

    @property
    def batch_items(self) -> int:
        most = network.BATCH_ITEMS[self.meter.quality(self.hints)]
        return min(most, self._of_turn().batch_items)

    async def settled(
        self, writes: Sequence[Write], contact: str, text: str, *, last: bool
    ) -> Mapping[tuple[str, str], str]:
        """Learn from what is settled; the side records to commit with it. ``last``: no claim goes
        with this commit, so the turn may be over."""
        if not writes:
            return {}
        now = self._clock.now()
        for item in (write.put.item for write in writes):
            self._learn(item, now)
        ended = sum(not write.put.item.is_open for write in writes)
        self._speed.add(self._clock.monotonic(), items=ended)
        self.memory.last = now
        self.turn.ms = int(self._clock.monotonic() - self._began)
        self.turn.quality = self.meter.quality(self.hints)
        self.turn.connection = self.hints.type
        self.turn.error = None if contact == "online" else text or contact
        side = {(TABLE, self._lane): self.memory.dump()}
        if last:
            earlier = (await self.history())[int(self._recorded) :]
            ring = [asdict(self.turn), *earlier][:HISTORY_MAX]
            side[HISTORY, self._lane] = json.dumps(ring)
            self._recorded = True
        return side

    def _learn(self, item: Item, now: int) -> None:
        sent = item.state in _SENT
        advanced = item.state is State.PENDING and item.error_code is None
        self.turn.sent += sent
        self.turn.failed += item.state is State.FAILED
        self.turn.bytes += item.size if sent else 0
        before = self.memory.averages.get(item.priority)
        self.memory.averages[item.priority] = observed(
            before, sent or advanced, self.meter.response_ms, now
        )

    def answered(self, size: int, elapsed_ms: float) -> None:
        """A request of ``size`` bytes was answered (`MeteredTransport`)."""
        self.meter.answered(size, elapsed_ms, self.hints)
        self._speed.add(self._clock.monotonic(), size=size)

    async def progress(self, known: dict[str, int]) -> dict[str, Any]:
        """``known`` = done, total, bytes_done, bytes_total of the driver, with what is left in
        bytes (estimated once a turn), the moving speed and the time left."""
        if self._bytes_left is None:
            left = (await backlog(self._store, _UNDER_WAY, self._clock.now()))[1]
            self._bytes_left = known["bytes_done"] + left
        items, size = self._speed.per_second(self._clock.monotonic())
        done, bytes_done = known["done"], known["bytes_done"]
        total, bytes_total = max(known["total"], done), max(self._bytes_left, bytes_done)
        left_ms = ms_left(total - done, items, bytes_total - bytes_done, size)
        return {
            **known,
            "total": total,
            "bytes_total": bytes_total,
            "items_per_s": round(items, 2),
            "bytes_per_s": round(size),
            "ms_left": left_ms,
        }

    async def slot_to_keep(self) -> str | None:
        """After a whole turn: the memory with the schedule's time noted, None when there is nothing
        to note."""
        settings = self.settings
        if settings.sync != "scheduled":
            return None
        slot = windows.latest_slot(
            settings.times, settings.every_minutes, self.turn.at, self.offset
        )
        if slot is None or slot == self.memory.slot:
            return None
        self.memory.slot = slot
        return self.memory.dump()

    async def history(self, limit: int = HISTORY_MAX) -> list[dict[str, Any]]:
        """The latest turns that settled something, newest first."""
        text = await self._store.side(HISTORY, self._lane)
        turns: list[dict[str, Any]] = json.loads(text) if text else []
        return turns[: max(0, limit)]
