"""The kinds of the five source documents. The least that each must have: what a destination asks
for beyond it, its catalogue says. Pure."""

from __future__ import annotations

from .duplicates import RecordKey
from .model import PRIORITIES
from .schema import Field, Kind, Kinds, lookup

__all__ = ["STANDARD", "Field", "Kind", "Kinds", "lookup", "standard_kinds"]

SEVERITIES = ("low", "medium", "high", "critical")
LEVELS = ("debug", "info", "warn", "error", "fatal")

_SHORT, _LONG = Field(most=500), Field(most=20_000)
_OBJECT, _COUNT = Field("object"), Field("number", least=0)
_NAME, _TIME = Field(required=True, most=200), Field("time", required=True)

TICKET = Kind(  # A37-A42
    "ticket",
    title="summary",
    required=("summary",),
    choices={"severity": SEVERITIES},
    max_length={
        "summary": 200,
        "description": 20_000,
        "category": 100,
        "user.name": 200,
        "user.email": 254,
    },
    priority_by=("severity", dict(zip(SEVERITIES, PRIORITIES.values(), strict=True))),
    fields={
        "user": _OBJECT,
        "user.id": _SHORT,
        "systemInfo": _OBJECT,
        "systemInfo.osVersion": _SHORT,
        "systemInfo.architecture": _SHORT,
        "systemInfo.deviceName": _SHORT,
        "skillResults": Field("list", most=1_000),
        "skillResults[]": _OBJECT,
        "skillResults[].skillId": _NAME,
        "skillResults[].status": Field(required=True, choices=("success", "error", "timeout")),
        "skillResults[].executionTimeMs": Field("number", required=True, least=0),
        "destination": _OBJECT,
        "destination.type": Field(
            required=True, choices=("servicenow", "jira", "zendesk", "salesforce")
        ),
        "destination.config": _OBJECT,
    },
)
FEEDBACK = Kind(  # A43; context is no more than wanted: the document's own example leaves it out
    "feedback",
    title="comment",
    required=("rating", "comment"),
    choices={"rating": (1, 2, 3, 4, 5)},
    max_length={"comment": 5_000, "userName": 200},
    fields={"userId": _SHORT, "skillId": _SHORT, "context": _OBJECT},
)
LOG = Kind(  # A44
    "log",
    droppable=True,
    title="message",
    required=("level", "message", "component"),
    choices={"level": LEVELS},
    max_length={"message": 5_000, "component": 200},
    priority_by=("level", dict(zip(LEVELS, (1, 1, 2, 2, 3), strict=True))),
    fields={
        "timestamp": _TIME,
        "skillId": _SHORT,
        "executionId": _SHORT,
        "correlationId": _SHORT,
        "context": _OBJECT,
        "error": _OBJECT,
        "error.message": Field(required=True, most=5_000),
        "error.stack": _LONG,
        "error.code": _SHORT,
    },
)
API_REQUEST = Kind(  # B
    "api-request",
    title="endpoint",
    required=("endpoint", "method"),
    choices={"method": ("GET", "POST", "PUT", "PATCH", "DELETE")},
    fields={
        "endpoint": Field(required=True, most=2_000, pattern=r"(/|https://)[^\s]*"),
        "zone": Field(most=64, pattern=r"[A-Za-z0-9_.-]+"),
        "headers": _OBJECT,
    },
)

#: C10: the same call or message, told twice.
_SAME_RECORD = RecordKey(("line", "number", "direction"), "time", {"duration": 1})
_RECORD = {
    "line": _NAME,
    "number": Field(required=True, most=64, pattern=r"[+*#0-9A-Za-z@._() /:-]+"),
    "time": _TIME,
    "direction": Field(required=True, choices=("incoming", "outgoing", "missed")),
    "duration": _COUNT,  # seconds
}
CALL = Kind("call", title="number", fields=_RECORD, record=_SAME_RECORD)
MESSAGE = Kind("message", title="number", fields={**_RECORD, "content": _LONG}, record=_SAME_RECORD)
EVIDENCE = Kind(  # D
    "evidence",
    title="bundle_id",
    required=("bundle_id",),
    max_length={"bundle_id": 200, "bundle_path": 1_000, "signature_path": 1_000},
    fields={"sha256": Field(pattern="[0-9a-f]{64}"), "created_at": Field("time")},
)
_CHANGES = {"version": Field("integer", least=0), "timestamp": Field("time"), "metadata": _OBJECT}
CONCEPT = Kind(  # E5
    "concept", title="content", fields={"concept_id": _NAME, "content": _LONG, **_CHANGES}
)
CONNECTION = Kind(
    "connection",
    title="connection_id",
    fields={"connection_id": _NAME, "source": _SHORT, "target": _SHORT, **_CHANGES},
)

STANDARD = (TICKET, FEEDBACK, LOG, API_REQUEST, CALL, MESSAGE, EVIDENCE, CONCEPT, CONNECTION)


def standard_kinds(*more: Kind) -> Kinds:
    """A registry of all of these, and of ``more``, which may take the place of one of them."""
    return Kinds(*STANDARD, *more)
