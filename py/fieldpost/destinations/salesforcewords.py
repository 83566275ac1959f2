"""What Salesforce's answers say: the words of `salesforce.Salesforce`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fieldpost.ports import Manifest, Response

from .answers import read_json
from .base import Lookup
from .records import Described
from .refusals import Refusal, read_list

#: Of a record.
ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
#: Codes of its refusals.
NO_SESSION = frozenset({"INVALID_SESSION_ID", "INVALID_AUTH_HEADER"})
FORBIDDEN = re.compile(r"INSUFFICIENT_ACCESS|API_(?:CURRENTLY_)?DISABLED")
#: Rolled back whole, and may be taken a moment later.
LATER = frozenset({"UNABLE_TO_LOCK_ROW"})
#: Where the field for the id is not Unique, a request that comes late makes a second record: it is
#: given the time of one before it is looked for, and what may have left late is looked for again.
NOT_UNIQUE = Lookup(settle_ms=60_000)


def refusal(response: Response) -> Refusal | None:
    """In Salesforce's words, a list of errors; None where it is somebody else's answer."""
    errors = [error for error in read_list(response) or [] if isinstance(error, dict)]
    if not errors:
        answer = read_json(response)
        return Refusal() if answer is not None and response.status < 400 else None
    fields: dict[str, str] = {}
    for error in errors:
        named = error.get("fields")
        for name in named if isinstance(named, list) else []:
            fields[str(name)] = str(error.get("message") or "is not taken")
    code = errors[0].get("errorCode")
    text = " ".join(str(error.get("message") or "") for error in errors).strip()
    return Refusal(code if isinstance(code, str) else None, text, fields)


def ids_of(addresses: Sequence[Any]) -> list[str]:
    """Of the records whose addresses a 300 lists, each once."""
    found = sorted({str(address).rpartition("/")[2] for address in addresses})
    return [record_id for record_id in found if ID.fullmatch(record_id)]


def mark(manifest: Manifest) -> str:
    return f"Reference: {manifest.id}"


def holds(row: Any, manifest: Manifest) -> bool:
    document = row.get("ContentDocument") if isinstance(row, dict) else None
    version = document.get("LatestPublishedVersion") if isinstance(document, dict) else None
    return isinstance(version, dict) and manifest.id in str(version.get("Description") or "")


def plain(name: str) -> str:
    """For the header of a part, where only its ending matters: the name itself is in the record."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:] or "file"


def key_notes(name: str, row: dict[str, Any] | None) -> list[str]:
    if row is None:
        return [f"The field {name} is missing, or this user may not see it: nothing can be sent."]
    notes = []
    if row.get("externalId") is not True:
        notes.append(f"The field {name} is not marked as External ID: nothing can be sent.")
    if row.get("unique") is not True:
        notes.append(
            f"The field {name} is not Unique, so after a fault a record is looked for and sent "
            "again a minute later. Make it Unique."
        )
    length = row.get("length")
    if type(length) is not int or length < 36:
        notes.append(f"The field {name} is too short for an id, which has 36 characters.")
    return notes


def described(row: dict[str, Any]) -> Described:
    """Salesforce fills what is nillable or has a default by itself."""
    required = row.get("nillable") is False and row.get("defaultedOnCreate") is not True
    required = required and row.get("type") != "boolean"
    choices = None
    values = row.get("picklistValues")
    if row.get("type") == "picklist" and isinstance(values, list) and values:
        choices = tuple(
            str(v.get("value")) for v in values if isinstance(v, dict) and v.get("active", True)
        )
    length = row.get("length")
    most = length if type(length) is int and length > 0 and choices is None else None
    return Described(str(row.get("name")), str(row.get("label")), required, choices, most)
