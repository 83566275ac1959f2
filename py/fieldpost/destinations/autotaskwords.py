"""What Autotask's answers say: sentences without codes, rows, picklists, zones. Pure."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from fieldpost.engine.outcome import Class, Outcome
from fieldpost.ports import Response

from .answers import ONLINE, retry_after_ms, whole_failure
from .base import Contact

#: Said of what was refused before anything was made of it, with a 500 as with a 400.
_REFUSED = re.compile(r"missing required field|picklist|exceeds|maximum length|invalid field", re.I)
_ID = re.compile("[1-9][0-9]{0,17}")
_MISSING = re.compile(r"missing required field:?\s*'?(\w+)", re.I)


def failure(response: Response, answer: dict[str, Any] | None) -> tuple[Contact, Outcome]:
    """What an answer says that is no success; ``fields`` by Autotask's names."""
    status, said = response.status, _errors(answer)
    text = " ".join(said)
    # A 500 says that nothing can have been made only in the words of a validation.
    refused = status in (400, 404, 422) or (status == 500 and _REFUSED.search(text))
    if said and refused:
        fields = dict.fromkeys(_MISSING.findall(text), "is required by the destination")
        return ONLINE, Outcome(Class.PERMANENT, "REFUSED", text, status, fields=fields)
    if said and status == 409:
        return ONLINE, Outcome(Class.UNKNOWN, "CONFLICT", text, status)
    told = {"detail": text} if said else answer
    contact, outcome = whole_failure(response, told, coded=not said)
    if status == 503:  # nothing says that it did not act before it gave up
        wait = retry_after_ms(response.headers)
        outcome = Outcome(
            Class.UNKNOWN, outcome.code, outcome.text, status, retry_after_ms=wait, lane=True
        )
    return contact, outcome


def rows_of(answer: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    """The rows of a query's page, None where it has none."""
    rows = answer.get("items") if answer else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    return rows


def next_page(answer: dict[str, Any] | None) -> str:
    """Where the rest of a query's rows is, "" where there is none."""
    told = answer.get("pageDetails") if answer else None
    found = told.get("nextPageUrl") if isinstance(told, dict) else None
    return found if isinstance(found, str) else ""


def number_of(row: dict[str, Any]) -> int | None:
    """The id of a ticket, None where the row has none."""
    found = row.get("id")
    if isinstance(found, str) and _ID.fullmatch(found):
        return int(found)
    return found if type(found) is int and found > 0 else None


def trusted(place: str, lookup: str) -> bool:
    """Whether ``place`` is the vendor's, as ``lookup`` is, where zones are asked for: the secret
    goes there."""
    try:
        asked, told = urlsplit(lookup), urlsplit(place)
    except ValueError:  # no address at all
        return False
    if told.scheme != asked.scheme or not told.hostname or not asked.hostname:
        return False
    if told.netloc == asked.netloc:
        return True
    _, _, domain = asked.hostname.partition(".")
    named = "." in domain and not domain.rpartition(".")[2].isdecimal()  # no address
    return named and told.hostname.endswith("." + domain)


def columns_of(answer: dict[str, Any] | None) -> dict[str, dict[str, Any]] | None:
    """Name -> what is said of each field of an entity; None of any other answer."""
    told = answer.get("fields") if answer else None
    if not isinstance(told, list):
        return None
    named = [(c.get("name"), c) for c in told if isinstance(c, dict)]
    return {name: c for name, c in named if isinstance(name, str) and name}


def open_values(column: dict[str, Any]) -> list[str]:
    """The values of a picklist that may be chosen, [] of a field that is none."""
    values = column.get("picklistValues") if column.get("isPickList") else None
    if not isinstance(values, list):
        return []
    return [str(v.get("value")) for v in values if isinstance(v, dict) and v.get("isActive", True)]


def _errors(answer: dict[str, Any] | None) -> list[str]:
    said = answer.get("errors") if answer else None
    return [str(each) for each in said] if isinstance(said, list) else []
