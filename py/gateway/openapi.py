"""OpenAPI 3.1 of every route, by hand; a test compares the paths with the router's."""

from __future__ import annotations

from typing import Any

from fieldpost import __version__

from .problems import STATUS

Schema = dict[str, Any]

_UUID: Schema = {"type": "string", "format": "uuid"}
_MS: Schema = {"type": "integer", "description": "Milliseconds since 1970-01-01T00:00Z."}
_PROTOCOL: Schema = {"const": 1}


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: Schema, most: int | None = None) -> Schema:
    bound = {} if most is None else {"maxItems": most}
    return {"type": "array", "items": items, **bound}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _text(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)} if values else {"type": "string"}


def _nullable(*types: str) -> Schema:
    return {"type": [*types, "null"]}


_ATTACHMENT = _object(
    {
        "id": _UUID,
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
        "type": {"type": "string", "description": "A media type, or empty."},
        "size": {"type": "integer", "minimum": 0},
        "parts": {"type": "integer", "minimum": 0},
        "sha256": _list({"type": "string", "contentEncoding": "base64"}),
    },
    ("id", "name", "type", "size", "parts", "sha256"),
)
_OPERATION = _object(
    {
        "id": _UUID,
        "send_id": {**_UUID, "description": "The idempotency key."},
        "kind": _text(),
        "operation": _text(),
        "entity": _nullable("string"),
        "base_version": _nullable("string", "integer"),
        "depends_on": _list(_UUID, 100),
        "destination": {"type": "string", "default": "inbox"},
        "captured_at": _MS,
        "attachments": _list(_ref("Attachment"), 20),
        "payload_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "payload": {"type": "object"},
    },
    ("id", "send_id", "kind", "operation", "payload_sha256", "payload"),
)
_STATUSES = (
    *("delivered", "accepted", "handed_over", "rejected"),
    *("conflict", "busy", "mismatch", "limited"),
)
_RESULT = _object(
    {
        "id": _UUID,
        "send_id": _UUID,
        "status": _text(*_STATUSES),
        "remote_id": _text(),
        "remote_url": {"type": "string", "description": "Relative to the gateway's root."},
        "remote_name": _text(),
        "code": _text(),
        "detail": _text(),
        "fields": {"type": "object", "additionalProperties": _text()},
        "retry_after_ms": {"type": "integer"},
        "acked": {"type": "object", "additionalProperties": {"type": "integer"}},
        "replayed": {"const": True},
    },
    ("id", "send_id", "status"),
)
_RECEIPT = _object(
    {
        "cursor": {"type": "integer"},
        "id": _UUID,
        "send_id": _UUID,
        "status": _text("delivered", "rejected", "conflict"),
        "remote_id": _nullable("string"),
        "remote_url": _nullable("string"),
        "remote_name": _text(),
        "code": _nullable("string"),
        "detail": _nullable("string"),
    },
    ("cursor", "id", "send_id", "status", "remote_id", "remote_url", "code", "detail"),
)
_DESTINATION = _object(
    {
        "name": _text(),
        "title": _text(),
        "kinds": _list(_text()),
        "guarantee": _text("strong", "checked", "repaired"),
        "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
        "fields": {"type": "object", "additionalProperties": {"type": "object"}},
    },
    ("name", "title", "kinds", "guarantee", "limits", "fields"),
)
_SCHEMAS = {
    "Attachment": _ATTACHMENT,
    "Operation": _OPERATION,
    "Result": _RESULT,
    "Receipt": _RECEIPT,
    "Destination": _DESTINATION,
    "Operations": _object(
        {
            "protocol": _PROTOCOL,
            "ack": _list(_UUID, 1000),
            "operations": _list(_ref("Operation"), 100),
        },
        ("protocol",),
    ),
    "Results": _object(
        {
            "protocol": _PROTOCOL,
            "cursor": {"type": "integer"},
            "results": _list(_ref("Result")),
            "pause_until": {"oneOf": [_MS, {"type": "null"}]},
        },
        ("protocol", "cursor", "results", "pause_until"),
    ),
    "OneResult": {"allOf": [_object({"protocol": _PROTOCOL}, ("protocol",)), _ref("Result")]},
    "PartResult": _object(
        {
            "protocol": _PROTOCOL,
            "id": _UUID,
            "send_id": _UUID,
            "attachment_id": _UUID,
            "acked": {"type": "integer", "description": "Parts held, from the first on."},
            "status": _text("accepted", "delivered", "handed_over", "rejected", "conflict", "busy"),
            "remote_id": _text(),
            "remote_url": _text(),
            "remote_name": _text(),
            "code": _text(),
            "detail": _text(),
        },
        ("protocol", "id", "send_id", "attachment_id", "acked", "status"),
    ),
    "Receipts": _object(
        {
            "protocol": _PROTOCOL,
            "cursor": {"type": "integer"},
            "receipts": _list(_ref("Receipt")),
        },
        ("protocol", "cursor", "receipts"),
    ),
    "Catalogue": _object(
        {
            "protocol": _PROTOCOL,
            "version": _text(),
            "destinations": _list(_ref("Destination")),
        },
        ("protocol", "version", "destinations"),
    ),
    "Call": _object({"method": _text(), "args": {"type": "object"}}, ("method",)),
    "Called": {
        "oneOf": [
            _object({"ok": {}}, ("ok",)),
            _object(
                {
                    "error": _object(
                        {
                            "code": _text(),
                            "message": _text(),
                            "todo": _text(),
                            "fields": {"type": "object", "additionalProperties": _text()},
                        },
                        ("code", "message", "todo", "fields"),
                    )
                },
                ("error",),
            ),
        ]
    },
    "Health": _object(
        {
            "status": {"const": "ok"},
            "service": {"const": "fieldpost"},
            "protocol": _PROTOCOL,
            "version": _text(),
            "durability": {"enum": ["always", "everysec", "unknown"]},
        },
        ("status", "service", "protocol", "version", "durability"),
    ),
    "Problem": _object(
        {
            "type": _text(),
            "title": _text(),
            "status": {"type": "integer"},
            "detail": _text(),
            "code": _text(*STATUS),
            "acked": {"type": "integer", "description": "Parts held (PART_GAP)."},
        },
        ("type", "title", "status", "detail", "code"),
    ),
}


def _parameter(name: str, where: str, schema: Schema, *, required: bool = True) -> Schema:
    return {"name": name, "in": where, "required": required, "schema": schema}


_DEVICE = _parameter("Fieldpost-Device", "header", _UUID)
_ID = _parameter("id", "path", _UUID)
_REFERENCE = _parameter("reference", "path", {"type": "string", "pattern": "^FP-[0-9]{6,}$"})


def _call(
    summary: str,
    answer: Schema | str,
    *,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
    token: bool = True,
) -> Schema:
    """``answer``: a schema for JSON, or a media type. Any other status is a problem."""
    content = {answer: {}} if isinstance(answer, str) else {"application/json": {"schema": answer}}
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
    call: Schema = {
        "summary": summary,
        "responses": {
            "200": {"description": "Done.", "content": content},
            "default": {"description": "Refused (RFC 9457).", "content": problem},
        },
        # {}: on loopback no token is needed until a device is paired.
        "security": [{"token": []}, {}] if token else [],
    }
    if parameters:
        call["parameters"] = list(parameters)
    if body is not None:
        call["requestBody"] = {"required": True, "content": body}
    return call


_OPERATIONS = "/api/v1/operations"
_PARTS = f"{_OPERATIONS}/{{id}}/attachments/{{attachment_id}}/{{n}}"

PATHS: Schema = {
    _OPERATIONS: {
        "post": _call(
            "Deliver operations; one result for each, in order.",
            _ref("Results"),
            parameters=(_DEVICE,),
            body={"application/json": {"schema": _ref("Operations")}},
        )
    },
    f"{_OPERATIONS}/{{id}}": {
        "get": _call("How an operation stands.", _ref("OneResult"), parameters=(_ID,))
    },
    _PARTS: {
        "put": _call(
            "Send one part of an attachment; parts come in order.",
            _ref("PartResult"),
            parameters=(
                _ID,
                _parameter("attachment_id", "path", _UUID),
                _parameter("n", "path", {"type": "integer", "minimum": 1}),
                _DEVICE,
                _parameter("Fieldpost-Send-Id", "header", _UUID),
                _parameter("Content-Digest", "header", _text()),
            ),
            body={"application/octet-stream": {}},
        )
    },
    "/api/v1/receipts": {
        "get": _call(
            "How operations handed over ended, for this device.",
            _ref("Receipts"),
            parameters=(
                _DEVICE,
                _parameter("after", "query", {"type": "integer", "default": 0}, required=False),
            ),
        )
    },
    "/api/v1/destinations": {"get": _call("The catalogue.", _ref("Catalogue"))},
    "/healthz": {"get": _call("Whether it works.", _ref("Health"), token=False)},
    "/metrics": {"get": _call("Numbers for Prometheus.", "text/plain")},
    "/openapi.json": {"get": _call("This document.", {"type": "object"}, token=False)},
    "/inbox": {
        "get": _call(
            "What arrived, for people.",
            "text/html",
            parameters=(_parameter("before", "query", {"type": "integer"}, required=False),),
        )
    },
    "/inbox/style.css": {"get": _call("Its looks.", "text/css", token=False)},
    "/inbox/{reference}": {
        "get": _call("One arrival, for people.", "text/html", parameters=(_REFERENCE,))
    },
    "/inbox/{reference}/attachments/{position}": {
        "get": _call(
            "One attachment, whole.",
            "application/octet-stream",
            parameters=(_REFERENCE, _parameter("position", "path", {"type": "integer"})),
        )
    },
    "/manage": {"get": _call("Leads to /manage/.", "text/html", token=False)},
    "/manage/": {"get": _call("The gateway's own queue, for people.", "text/html")},
    "/manage/queue": {
        "post": _call(
            "Look at the queue or act on it, as a person; see docs/interfaces.md. An operator's"
            " token, or a reader's for what only looks.",
            _ref("Called"),
            body={"application/json": {"schema": _ref("Call")}},
        )
    },
    "/manage/{path}": {
        "get": _call(
            "The app's files, for that page.",
            "*/*",
            parameters=(_parameter("path", "path", _text()),),
            token=False,
        )
    },
    "/{path}": {
        "get": _call(
            "The app.", "*/*", parameters=(_parameter("path", "path", _text()),), token=False
        )
    },
}

DOCUMENT: Schema = {
    "openapi": "3.1.0",
    "info": {
        "title": "Fieldpost gateway",
        "version": __version__,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "paths": PATHS,
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
}
