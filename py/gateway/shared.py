"""The tables in a Redis server: one transaction of one of any number of gateways.

Optimistic: what it reads is remembered with it, what it writes is kept back; the commit is one
script (`shared_database`) that first looks whether all that was read is still so, and does nothing
where it is not. Rows are strings, of which each commit writes the whole; counters, lines and
receipts change without being read, so they are nobody's conflict. docs/redis.md has the keys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

from .shared_kept import Kept
from .shared_rows import inbox_of, key_of, pack, pairs, unpack
from .tables import OPEN_STATES, READY, Arrived, Expected, Onward, Row

#: Rows that one prune takes: the writing thread is held up for so long.
_FORGET_MAX = 1_000


class RedisTx(Kept):
    """`tables.Tx`."""

    # --- the ledger --------------------------------------------------------------------------

    def foresee(
        self, workspace: str, send_ids: Sequence[str], operation_ids: Sequence[str]
    ) -> None:
        keys = [key_of(workspace, each) for each in send_ids]
        self._fetch([*keys, *(f"o:{workspace}/{each}" for each in operation_ids)])
        new = sum(self.reads[key] is None for key in keys[len(keys) - len(operation_ids) :])
        self._server.foresee(new)

    def by_key(self, workspace: str, send_id: str) -> Row | None:
        found = self._kept(key_of(workspace, send_id))
        return None if found is None else found[0]

    def latest(self, workspace: str, operation_id: str) -> Row | None:
        send_ids = self._list(f"o:{workspace}/{operation_id}")
        return self.by_key(workspace, send_ids[-1]) if send_ids else None

    def row(self, n: int) -> Row | None:
        key = self._get(f"n:{n}")
        found = None if key is None else self._kept(key.decode())
        return None if found is None else found[0]

    def add(self, row: Row, now: int) -> int:
        n = self._server.number("n")
        key, line = key_of(row.workspace, row.send_id), f"o:{row.workspace}/{row.operation_id}"
        more: dict[str, Any] = {"created_at": now}
        if row.state in OPEN_STATES:
            more["counted"] = True  # rows of earlier versions are not
            self._count_open(row, 1)
        self._keep(replace(row, n=n), more)
        self.writes[f"n:{n}"] = key.encode()
        self._put_list(line, [*self._list(line), row.send_id])
        self._count(row.state, 1)
        if row.alias is not None:
            self._point(row.alias, 1)
        return n

    def answer(self, row: Row, settled_at: int | None) -> None:
        found = self._kept(key_of(row.workspace, row.send_id))
        assert found is not None
        self._count(found[0].state, -1)
        self._count(row.state, 1)
        more = found[1] | {"settled_at": settled_at}
        if row.state not in OPEN_STATES and more.pop("counted", False):
            self._count_open(row, -1)
        self._keep(row, more)

    def acknowledge(self, workspace: str, device: str, send_ids: Sequence[str], now: int) -> None:
        for send_id in send_ids:
            key = key_of(workspace, send_id)
            found = self._kept(key)
            if found is None:
                continue
            row, more = found
            if row.device == device and "acked_at" not in more and row.state not in OPEN_STATES:
                self._keep(row, more | {"acked_at": now})
                self.moves.append(["ZADD", "acked", now, key])

    def forget(self, before: int) -> int:
        keys = [each.decode() for each in self._ask("ZRANGEBYSCORE", "acked", "-inf", f"({before}")]
        gone = 0
        for at in range(0, len(keys), 500):
            self._fetch(keys[at : at + 500])
            for key in keys[at : at + 500]:
                if gone == _FORGET_MAX:
                    return gone
                gone += self._forget(key)
        return gone

    def _forget(self, key: str) -> bool:
        found = self._kept(key)
        if found is None:
            return False
        row, more = found
        if more.get("aliases"):
            return False
        line = f"o:{row.workspace}/{row.operation_id}"
        left = [each for each in self._list(line) if each != row.send_id]
        if left:
            self._put_list(line, left)
        else:
            self.writes[line] = None
        for device, send_id in [(row.device, row.send_id), *self._list(f"w:{row.n}")]:
            member = json.dumps([row.n, send_id])
            self.moves.append(["ZREM", f"r:{row.workspace}/{device}", member])
        self.writes |= {key: None, f"n:{row.n}": None, f"w:{row.n}": None}
        self.moves.append(["ZREM", "acked", key])
        self._count(row.state, -1)
        if row.alias is not None:
            self._point(row.alias, -1)
        return True

    def states(self) -> dict[str, int]:
        found = self._ask("HGETALL", "states")
        return {state.decode(): int(n) for state, n in found.items()}

    def _count(self, state: str, by: int) -> None:
        self.moves.append(["HINCRBY", "states", state, by])

    def open_of(self) -> dict[tuple[str, str], int]:
        found = {}
        for name, n in self._ask("HGETALL", "open").items():
            workspace, _, device = name.decode().partition("/")
            if int(n) > 0:
                found[workspace, device] = int(n)
        return found

    def _count_open(self, row: Row, by: int) -> None:
        self.moves.append(["HINCRBY", "open", f"{row.workspace}/{row.device}", by])

    def _point(self, n: int, by: int) -> None:
        """One key more, or less, has its answer from this row."""
        row = self.row(n)
        assert row is not None
        found = self._kept(key_of(row.workspace, row.send_id))
        assert found is not None
        self._keep(row, found[1] | {"aliases": found[1].get("aliases", 0) + by})

    def _kept(self, key: str) -> tuple[Row, dict[str, Any]] | None:
        """A row, and what only the tables need of it."""
        value = self._get(key)
        if value is None:
            return None
        (columns, more), [answer] = unpack(value)
        return Row(*[*columns, answer]), more

    def _keep(self, row: Row, more: dict[str, Any]) -> None:
        *columns, answer = astuple(row)
        self.writes[key_of(row.workspace, row.send_id)] = pack([columns, more], answer)

    # --- attachments -------------------------------------------------------------------------

    def expect(self, n: int, attachments: Sequence[Expected]) -> None:
        columns = [
            [each.position, each.attachment_id, each.parts, each.kid] for each in attachments
        ]
        self.writes[f"a:{n}"] = pack(columns, *(each.manifest for each in attachments))
        self._put_list(f"h:{n}", [each.held for each in attachments])

    def attached(self, n: int) -> list[Expected]:
        self._fetch([f"a:{n}", f"h:{n}"])
        value = self._get(f"a:{n}")
        if value is None:
            return []
        columns, manifests = unpack(value)
        return [
            Expected(position, id_, parts, held, kid, manifest or b"")
            for (position, id_, parts, kid), manifest, held in zip(
                columns, manifests, self._list(f"h:{n}"), strict=True
            )
        ]

    def held(self, n: int) -> dict[str, int]:
        return {each.attachment_id: each.held for each in self.attached(n)}

    def hold(self, n: int, position: int, held: int) -> None:
        counts = self._list(f"h:{n}")
        counts[position] = held
        self._put_list(f"h:{n}", counts)

    # --- receipts ----------------------------------------------------------------------------

    def watch(self, n: int, device: str, send_id: str) -> None:
        watchers = self._list(f"w:{n}")
        if [device, send_id] not in watchers:
            self._put_list(f"w:{n}", [*watchers, [device, send_id]])

    def receipt(self, row: Row) -> None:
        # Numbered by the script: a cursor given out earlier and written later would be passed over.
        for device, send_id in [(row.device, row.send_id), *self._list(f"w:{row.n}")]:
            member = json.dumps([row.n, send_id])
            self.moves.append(["receipt", f"r:{row.workspace}/{device}", member])

    def receipts(
        self, workspace: str, device: str, after: int, limit: int
    ) -> list[tuple[int, str, int]]:
        key = f"r:{workspace}/{device}"
        words = (f"({after}", "+inf", "WITHSCORES", "LIMIT", 0, limit)
        found = self._ask("ZRANGEBYSCORE", key, *words)
        receipts = []
        for member, cursor in pairs(found):
            n, send_id = json.loads(member)
            receipts.append((cursor, send_id, n))
        return receipts

    def cursor(self, workspace: str, device: str) -> int:
        found = self._ask("ZREVRANGE", f"r:{workspace}/{device}", 0, 0, "WITHSCORES")
        return next((cursor for _, cursor in pairs(found)), 0)

    # --- the inbox ---------------------------------------------------------------------------

    def arrive(self, arrival: Arrived, body_kid: str, body: bytes) -> None:
        number = self._server.number("number")
        *columns, head = astuple(replace(arrival, number=number))
        self.writes[f"i:{number}"] = pack(columns, head)
        self.writes[f"b:{number}"] = pack([body_kid], body)
        self.writes[f"e:{arrival.entry}"] = str(number).encode()
        self.moves.append(["ZADD", inbox_of(logs=arrival.kind == "log"), number, str(number)])

    def number_of(self, entry: int) -> int:
        number = self._get(f"e:{entry}")
        assert number is not None
        return int(number)

    def arrivals(self, before: int, limit: int, *, logs: bool) -> list[Arrived]:
        words = (f"({before}", "-inf", "LIMIT", 0, limit)
        numbers = [int(each) for each in self._ask("ZREVRANGEBYSCORE", inbox_of(logs=logs), *words)]
        self._fetch([f"i:{number}" for number in numbers])
        found = [self.arrival(number) for number in numbers]
        return [each for each in found if each is not None]

    def arrival(self, number: int) -> Arrived | None:
        value = self._get(f"i:{number}")
        if value is None:
            return None
        columns, [head] = unpack(value)
        return Arrived(*[*columns, head or b""])

    def body(self, number: int) -> tuple[str, bytes]:
        value = self._get(f"b:{number}")
        assert value is not None
        [kid], [body] = unpack(value)
        return kid, body or b""

    def totals(self) -> tuple[int, int]:
        return int(self._ask("ZCARD", inbox_of(logs=False))), int(
            self._ask("ZCARD", inbox_of(logs=True))
        )

    # --- the relay ---------------------------------------------------------------------------

    def relay(self, onward: Onward, attachment_ids: Sequence[str]) -> None:
        self._put_onward(onward)
        self.writes[f"yi:{onward.item}"] = str(onward.entry).encode()
        line = f"yo:{onward.workspace}/{onward.operation_id}"
        self._put_list(line, [*self._list(line), onward.entry])
        for position, id_ in enumerate(attachment_ids):
            if not self._list(key := f"f:{onward.workspace}/{id_}"):
                self._put_list(key, [onward.entry, position])

    def onward(self, entry: int) -> Onward | None:
        value = self._get(f"y:{entry}")
        if value is None:
            return None
        columns, [body] = unpack(value)
        return Onward(*[*columns, body])

    def onward_of(self, item: str) -> Onward | None:
        entry = self._get(f"yi:{item}")
        return None if entry is None else self.onward(int(entry))

    def items_of(self, workspace: str, operation_id: str) -> list[tuple[int, str]]:
        found = [self.onward(each) for each in self._list(f"yo:{workspace}/{operation_id}")]
        return [(each.entry, each.item) for each in found if each is not None]

    def waiting(self, destinations: Sequence[str]) -> list[str]:
        return [name for name in destinations if self._ask("EXISTS", f"turns:{name}")]

    def ready(self, destination: str, limit: int) -> list[Onward]:
        """The devices whose oldest entries are the oldest, where there are more than ``limit``."""
        turns: list[tuple[int, int]] = []
        for line in self._ask("ZRANGE", f"turns:{destination}", 0, limit - 1):
            entries = self._ask("ZRANGE", line.decode(), 0, limit - 1)
            turns += [(turn, int(entry)) for turn, entry in enumerate(entries)]
        entries = [entry for _, entry in sorted(turns)[:limit]]
        self._fetch([f"y:{each}" for each in entries])
        found = [self.onward(each) for each in entries]
        # The lines and the rows were read one after the other.
        return [each for each in found if each is not None and each.stage == READY]

    def stage(self, entry: int, stage: int, *, drop_body: bool = False) -> None:
        onward = self.onward(entry)
        assert onward is not None
        if stage > onward.stage:
            if READY in (stage, onward.stage):
                row = self.row(entry)
                assert row is not None
                line = f"turn:{onward.destination}/{row.workspace}/{row.device}"
                move = "queue" if stage == READY else "leave"
                self.moves.append([move, f"turns:{onward.destination}", line, entry])
            onward = replace(onward, stage=stage)
        self._put_onward(replace(onward, kid=None, body=None) if drop_body else onward)

    def rename(self, entry: int, item: str) -> None:
        earlier, mine = self.onward_of(item), self.onward(entry)
        assert mine is not None
        if earlier is not None:
            away = replace(earlier, item=f"{item}/{earlier.entry}")
            self._put_onward(away)
            self.writes[f"yi:{away.item}"] = str(away.entry).encode()
        mine = self.onward(entry) or mine
        self.writes[f"yi:{mine.item}"] = None
        self.writes[f"yi:{item}"] = str(entry).encode()
        self._put_onward(replace(mine, item=item))

    def file_of(self, workspace: str, attachment_id: str) -> tuple[int, int] | None:
        found = self._list(f"f:{workspace}/{attachment_id}")
        return (found[0], found[1]) if found else None

    def _put_onward(self, onward: Onward) -> None:
        *columns, body = astuple(onward)
        self.writes[f"y:{onward.entry}"] = pack(columns, body)
