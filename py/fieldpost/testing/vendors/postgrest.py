"""A fake PostgREST with one table: an INSERT is all or nothing, what is there is left as it is, and
errors come as SQLSTATE. Its traps: rows with different keys, columns that are not there, a unique
constraint that is not the one asked for.

(`fieldpost.testing.postgrest_front` is the same over a real PostgreSQL.)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.postgrest import PostgREST
from fieldpost.ports import Request, Response

from .base import Ask, Record, Vendor, answer

JWT = "eyJ.user.jwt"
PUBLISHABLE = "sb_publishable_1"
_COLUMNS = (
    "id captured_at summary description severity category user_name user_email rating comment "
    "user_id level message component logged_at correlation_id context error kind line number time "
    "direction duration content"
)

#: What the database finds wrong with a row: (status, code, message), None: nothing.
Check = Callable[[dict[str, Any]], tuple[int, str, str] | None]


class FakePostgREST(Vendor):
    """``table``: the only one; ``unique``: its constraint; ``checks``: of each row."""

    def __init__(self, url: str = "https://project.supabase.example", **named: Any):
        super().__init__(url, **named)
        self.table = "field_items"
        self.columns = set(_COLUMNS.split())
        self.unique: tuple[str, ...] = ("id",)
        self.checks: list[Check] = [_no_nul]
        self.defaults = {"severity": "medium"}
        self.inserts: list[int] = []  # rows of each INSERT, also of those that failed

    def authorised(self, ask: Ask) -> bool:
        told = (ask.headers.get("apikey"), ask.headers.get("authorization"))
        return told == (PUBLISHABLE, f"Bearer {JWT}")

    def unauthorised(self) -> Response:
        return wrong(401, "PGRST301", "JWT expired")

    def route(self, ask: Ask) -> Response:
        if ask.path == "/rest/v1/":
            columns: dict[str, dict[str, Any]] = {
                name: {"type": "string"} for name in sorted(self.columns)
            }
            columns["severity"] |= {"default": "medium"}
            columns["category"] |= {"maxLength": 40}
            table = {"required": ["id", "summary", "severity"], "properties": columns}
            return answer({"definitions": {self.table: table}})
        if ask.path != f"/rest/v1/{self.table}":
            return wrong(404, "PGRST205", "Could not find the table in the schema cache")
        if ask.method == "GET":
            return answer([])
        return self._insert(ask)

    def _insert(self, ask: Ask) -> Response:
        rows = ask.json
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return wrong(400, "PGRST102", "Empty or invalid json")
        self.inserts.append(len(rows))
        prefer = {part.strip() for part in ask.headers.get("prefer", "").split(",")}
        named = ask.query.get("columns")
        if named is None and len({tuple(sorted(row)) for row in rows}) > 1:
            return wrong(400, "PGRST102", "All object keys must match")
        columns = named.split(",") if named else sorted(rows[0])
        if strange := sorted(set(columns) - self.columns):
            said = f"Could not find the '{strange[0]}' column of '{self.table}' in the schema cache"
            return wrong(400, "PGRST204", said)
        if tuple(ask.query.get("on_conflict", "").split(",")) != self.unique:
            said = "there is no unique or exclusion constraint matching the ON CONFLICT"
            return wrong(400, "42P10", said)
        missing = self.defaults if "missing=default" in prefer else {}
        named_ones = ({n: row.get(n, missing.get(n)) for n in columns} for row in rows)
        whole = [{**self.defaults, **row} for row in named_ones]
        for row in whole:
            for found in filter(None, (check(row) for check in self.checks)):
                return wrong(*found)
        if "resolution=ignore-duplicates" not in prefer:
            return wrong(409, "23505", "duplicate key value violates unique constraint")
        self._keep(whole)
        applied = ", ".join(sorted(prefer, reverse=True))
        headers = {"content-range": "*/*", "preference-applied": applied}
        return Response(201, headers, b"")

    def _keep(self, rows: list[dict[str, Any]]) -> None:
        there = {self._key(record.fields) for record in self.records}
        for row in rows:
            if self._key(row) not in there:
                there.add(self._key(row))
                op = str(row.get("id"))
                self.records.append(Record(op, op, op, row, self.now()))

    def _key(self, row: dict[str, Any]) -> str:
        return json.dumps([row.get(name) for name in self.unique])


def wrong(status: int, code: str, message: str, details: str | None = None) -> Response:
    said = {"code": code, "details": details, "hint": None, "message": message}
    return answer(said, status)


def _no_nul(row: dict[str, Any]) -> tuple[int, str, str] | None:
    if "\\u0000" in json.dumps(row):
        return 400, "22P05", "unsupported Unicode escape sequence"
    return None


def times_out_over(most: int) -> Callable[[Vendor, Request, Callable[[], Response]], Response]:
    """A statement with more rows than this takes too long."""

    def fault(_vendor: Vendor, request: Request, go: Callable[[], Response]) -> Response:
        if len(json.loads(request.body)) > most:
            return wrong(500, "57014", "canceling statement due to statement timeout")
        return go()

    return fault


def bench(clock: Any) -> tuple[Adapter, Vendor, dict[str, dict[str, str]]]:
    """An adapter, the fake that it speaks to, and the host's credentials."""
    vendor = FakePostgREST(now=clock.now)
    adapter = PostgREST(
        url=vendor.url + "/rest/v1",
        table=vendor.table,
        apikey=PUBLISHABLE,
        credential="supabase",
    )
    return adapter, vendor, {"supabase": {"Authorization": f"Bearer {JWT}"}}
