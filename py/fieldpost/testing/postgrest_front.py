"""What PostgREST does with the requests of this project, over a real PostgreSQL (psycopg 3).

No more than that: POST of rows (``columns``, ``on_conflict``, ``select``, the preferences
``resolution``, ``missing`` and ``return``), GET with ``select``, ``limit`` and ``eq``, roles by
token, and errors with the status that PostgREST gives each SQLSTATE (its documentation of errors
and of tables). An ASGI application; every request is one transaction.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

#: SQLSTATE, or its beginning -> status; the longest that fits. 42501 depends on who asks.
_STATUS = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "53": 503,
    "54": 500,
    "55": 500,
    "57P01": 503,
    "57": 500,
    "58": 500,
    "F0": 500,
    "HV": 500,
    "P0001": 400,
    "P0": 500,
    "XX": 500,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
}

Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Said:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str, details: str | None = None):
        super().__init__(message)
        said = {"code": code, "details": details, "hint": None, "message": message}
        self.answer = _Said(status, json.dumps(said).encode(), (("content-type", _JSON),))


_JSON = "application/json; charset=utf-8"


class PostgrestFront:
    """``dsn``: as a role that may become the others; ``tokens``: bearer token -> role; ``anon``:
    the role of who sends none."""

    def __init__(self, dsn: str, tokens: Mapping[str, str], anon: str, schema: str = "public"):
        self._dsn = dsn
        self._tokens = tokens
        self._anon = anon
        self._schema = schema
        self.statement_timeout_ms = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        said = await asyncio.to_thread(self._answer, scope, body)
        headers = [(name.encode(), value.encode()) for name, value in said.headers]
        await send({"type": "http.response.start", "status": said.status, "headers": headers})
        await send({"type": "http.response.body", "body": said.body})

    def _answer(self, scope: dict[str, Any], body: bytes) -> _Said:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode().lower()
            headers[key] = ",".join(filter(None, [headers.get(key), value.decode()]))
        table = scope["path"].strip("/").removeprefix("rest/v1/")
        query = dict(parse_qsl(scope["query_string"].decode()))
        try:
            role = self._role(headers)
        except _Refused as refused:
            return refused.answer
        try:
            with psycopg.connect(self._dsn, row_factory=dict_row) as connection:
                columns = self._columns(connection, table)
                connection.execute(
                    sql.SQL("SET LOCAL statement_timeout = {}").format(self.statement_timeout_ms)
                )
                connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
                if scope["method"] == "GET":
                    return self._get(connection, table, query)
                prefer = {each.strip() for each in headers.get("prefer", "").split(",")}
                return self._insert(connection, table, columns, query, prefer, body)
        except _Refused as refused:
            return refused.answer
        except psycopg.Error as error:
            return _wrong(error, anonymous=role == self._anon)

    def _role(self, headers: Mapping[str, str]) -> str:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not scheme:
            return self._anon
        if scheme != "Bearer" or token not in self._tokens:
            raise _Refused(401, "PGRST301", "No suitable key or wrong key type")
        return self._tokens[token]

    def _columns(self, connection: Any, table: str) -> dict[str, tuple[str, str | None]]:
        """Name -> type and default of each column: PostgREST's schema cache."""
        rows = connection.execute(
            "select a.attname, format_type(a.atttypid, a.atttypmod) as type,"
            " pg_get_expr(d.adbin, d.adrelid) as default from pg_attribute a"
            " left join pg_attrdef d on (d.adrelid, d.adnum) = (a.attrelid, a.attnum)"
            " join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = %s and c.relname = %s and a.attnum > 0 and not a.attisdropped",
            (self._schema, table),
        ).fetchall()
        if not rows:
            said = f"Could not find the table '{self._schema}.{table}' in the schema cache"
            raise _Refused(404, "PGRST205", said)
        return {row["attname"]: (row["type"], row["default"]) for row in rows}

    def _get(self, connection: Any, table: str, query: Mapping[str, str]) -> _Said:
        wanted = [sql.Identifier(name) for name in query.get("select", "").split(",") if name]
        where = [
            sql.SQL("{} = {}").format(sql.Identifier(name), value.removeprefix("eq."))
            for name, value in query.items()
            if name not in ("select", "limit") and value.startswith("eq.")
        ]
        asked = sql.SQL("select coalesce(json_agg(r), '[]')::text as rows from ({}) r").format(
            sql.SQL("select {} from {} where {} limit {}").format(
                sql.SQL(", ").join(wanted) if wanted and query["select"] != "*" else sql.SQL("*"),
                sql.Identifier(self._schema, table),
                sql.SQL(" and ").join([sql.SQL("true"), *where]),
                int(query["limit"]) if "limit" in query else sql.NULL,
            )
        )
        found = connection.execute(asked).fetchone()["rows"]
        return _Said(200, found.encode(), (("content-type", _JSON), ("content-range", "*/*")))

    def _insert(
        self,
        connection: Any,
        table: str,
        known: Mapping[str, tuple[str, str | None]],
        query: Mapping[str, str],
        prefer: set[str],
        body: bytes,
    ) -> _Said:
        columns = _named(query, body)
        if strange := [name for name in columns if name not in known]:
            said = f"Could not find the '{strange[0]}' column of '{table}' in the schema cache"
            raise _Refused(400, "PGRST204", said)
        conflict = [name.strip('"') for name in query.get("on_conflict", "").split(",") if name]
        resolution = {"resolution=ignore-duplicates", "resolution=merge-duplicates"} & prefer
        does: sql.Composable = sql.SQL("")
        if conflict and resolution:
            target = sql.SQL(", ").join(map(sql.Identifier, conflict))
            does = sql.SQL(" on conflict ({}) do {}").format(target, _merge(resolution, columns))
        wanted = [name for name in query.get("select", "").split(",") if name not in ("", "*")]
        shows = "return=representation" in prefer
        returned = sql.SQL(", ").join(map(sql.Identifier, wanted)) if wanted else sql.SQL("*")
        source = _source(columns, known, with_defaults="missing=default" in prefer)
        insert = sql.SQL("insert into {} ({}) select {} from {}{}{}").format(
            sql.Identifier(self._schema, table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            source,
            does,
            sql.SQL(" returning {}").format(returned if shows else sql.SQL("1 as one")),
        )
        whole = sql.SQL(
            "with done as ({}) select coalesce(json_agg(done), '[]')::text as rows from done"
        ).format(insert)
        rows = connection.execute(whole, {"rows": body.decode()}).fetchone()["rows"]
        applied = [*sorted(resolution if conflict else ()), *sorted(prefer & _OTHERS)]
        headers = [("content-range", "*/*"), ("preference-applied", ", ".join(applied))]
        if not shows:
            return _Said(201, b"", tuple(headers))
        return _Said(201, rows.encode(), (*headers, ("content-type", _JSON)))


_OTHERS = {"missing=default", "return=minimal", "return=representation"}


def _named(query: Mapping[str, str], body: bytes) -> list[str]:
    try:
        rows = json.loads(body)
    except ValueError:
        raise _Refused(400, "PGRST102", "Empty or invalid json") from None
    rows = rows if isinstance(rows, list) else [rows]
    if "columns" in query:
        return [name.strip('"') for name in query["columns"].split(",")]
    if len({tuple(sorted(row)) for row in rows}) > 1:
        raise _Refused(400, "PGRST102", "All object keys must match")
    return list(rows[0])


def _merge(resolution: set[str], columns: list[str]) -> sql.Composable:
    if "resolution=ignore-duplicates" in resolution:
        return sql.SQL("nothing")
    each = (sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns)
    return sql.SQL("update set {}").format(sql.SQL(", ").join(each))


def _source(
    columns: list[str], known: Mapping[str, tuple[str, str | None]], *, with_defaults: bool
) -> sql.Composable:
    """The rows of the body as columns with their types; with ``missing=default`` each is laid over
    the defaults. A single object counts as a list of one."""
    rows = sql.SQL(
        "(select case json_typeof(b) when 'array' then b else json_build_array(b) end as b"
        " from (select %(rows)s::json as b) raw)"
    )
    types = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(known[name][0])) for name in columns
    )
    if not with_defaults:
        return sql.SQL("{} body, json_to_recordset(body.b) as r ({})").format(rows, types)
    pairs = [
        sql.SQL("{}, {}").format(name, sql.SQL(default))
        for name in columns
        if (default := known[name][1]) is not None
    ]
    return sql.SQL(
        "{} body, jsonb_to_recordset((select jsonb_agg(jsonb_build_object({}) || e)"
        " from jsonb_array_elements(body.b::jsonb) e)) as r ({})"
    ).format(rows, sql.SQL(", ").join(pairs), types)


def _wrong(error: psycopg.Error, *, anonymous: bool) -> _Said:
    code = error.sqlstate
    if code is None:  # there is no database
        said = {"code": "PGRST000", "details": str(error), "hint": None}
        said["message"] = "Database connection error. Retrying the connection."
        return _Said(503, json.dumps(said).encode(), (("content-type", _JSON),))
    fits = [each for each in _STATUS if code.startswith(each)]
    status = _STATUS[max(fits, key=len)] if fits else 400
    if code == "42501":
        status = 401 if anonymous else 403
    told = {
        "code": code,
        "details": error.diag.message_detail,
        "hint": error.diag.message_hint,
        "message": error.diag.message_primary,
    }
    return _Said(status, json.dumps(told).encode(), (("content-type", _JSON),))
