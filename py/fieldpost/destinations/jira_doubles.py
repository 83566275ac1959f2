"""Doubles in Jira: found by the operation's label, linked to the oldest issue, closed, reported.

May be run any number of times, and be cut off anywhere: it looks at each double before it does
something to it. Pure, as every script is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fieldpost.engine.outcome import FINAL, Class, Outcome
from fieldpost.ports import Request

from .answers import ONLINE, read_json
from .base import Reading, Script

if TYPE_CHECKING:
    from .jira import Jira

#: On what was found to be there twice; it also says that the comment has been written.
LABEL = "duplicate"
_LINK = "Duplicate"
_FIELDS = "labels,created,status,issuelinks,attachment"
_REFUSED = FINAL | {Class.CONFLICT}


def close_doubles(jira: Jira, op: str, known: str | None) -> Script[Reading]:
    """One outcome, ``DELIVERED`` with what was found in ``text``. ``known``: the key of the issue
    that was delivered last, which the search need not show yet."""
    response = yield jira.search(op, _FIELDS)
    issues = jira.found(op, response)
    if issues is None:
        reading = jira.refused(response)
        if reading.outcomes[0].cls not in _REFUSED:
            return reading
        return _done(f"Whether it is there twice could not be asked: {reading.outcomes[0].text}")
    if known is not None and known not in {issue["key"] for issue in issues}:
        last = yield from jira.known(known, op, _FIELDS)
        if isinstance(last, Reading):
            return last
        if last is not None and last["key"] not in {issue["key"] for issue in issues}:
            issues = sorted([*issues, last], key=lambda issue: int(issue["id"]))
    if len(issues) < 2:
        return _done("It is there once." if issues else "It is not there (any more).")
    kept, *doubles = issues
    told = []
    for double in doubles:
        ended = yield from _close(jira, kept["key"], double)
        if isinstance(ended, Reading):
            return ended
        told.append(ended)
    text = f"It was there {len(issues)} times; {kept['key']} is kept. " + " ".join(told)
    return _done(text)


def _done(text: str) -> Reading:
    return Reading(ONLINE, [Outcome(Class.DELIVERED, text=text.strip())])


def _close(jira: Jira, kept: str, double: dict[str, Any]) -> Script[str | Reading]:
    """What became of one double, in a sentence; a `Reading` where the lane stopped it."""
    key, fields = double["key"], double["fields"]
    troubles: list[str] = []
    if not _linked(fields, kept):
        link = {
            "type": {"name": _LINK},
            "inwardIssue": {"key": key},
            "outwardIssue": {"key": kept},
        }
        said = yield from _do(jira, jira.ask("POST", "issueLink", link))
        if isinstance(said, Reading):
            return said
        if said:
            troubles.append(f"not linked ({said})")
    closed = _is_done(fields)
    if not closed:
        closing = yield from _transition(jira, key)
        if isinstance(closing, Reading):
            return closing
        closed = closing
    if LABEL not in fields.get("labels", []):
        said = yield from _mark(jira, key, kept, closed=closed)
        if isinstance(said, Reading):
            return said
        if said:
            troubles.append(f"not labelled ({said})")
    state = "closed" if closed else "left open, labelled for somebody to close"
    files = fields.get("attachment")
    extra = " It has files." if isinstance(files, list) and files else ""
    return f"{key} is a duplicate of it: {', '.join([state, *troubles])}.{extra}"


def _transition(jira: Jira, key: str) -> Script[bool | Reading]:
    """Whether it could be closed: by a transition into a state that counts as done."""
    response = yield jira.ask("GET", f"issue/{key}/transitions?expand=transitions.fields")
    answer = read_json(response)
    offered = answer.get("transitions") if answer and response.status == 200 else None
    if not isinstance(offered, list):
        reading = jira.refused(response)
        return False if reading.outcomes[0].cls in _REFUSED else reading
    ways = [way for way in offered if isinstance(way, dict) and _ends(way)]
    for way in sorted(ways, key=_preference):
        body: dict[str, Any] = {"transition": {"id": str(way.get("id"))}}
        if (resolution := _resolution(way)) is not None:
            body["fields"] = {"resolution": {"name": resolution}}
        said = yield from _do(jira, jira.ask("POST", f"issue/{key}/transitions", body))
        if not said or isinstance(said, Reading):
            return said if isinstance(said, Reading) else True
    return False


def _mark(jira: Jira, key: str, kept: str, *, closed: bool) -> Script[str | Reading]:
    """Labelled, and where it could not be closed a comment says why it should be."""
    if not closed:
        text = f"The same report arrived twice: this is a duplicate of {kept}. Please close it."
        said = yield from _do(
            jira, jira.ask("POST", f"issue/{key}/comment", {"body": jira.text(text)})
        )
        if isinstance(said, Reading):
            return said
    labelled = {"update": {"labels": [{"add": LABEL}]}}
    return (yield from _do(jira, jira.ask("PUT", f"issue/{key}", labelled)))


def _do(jira: Jira, request: Request) -> Script[str | Reading]:
    """ "" where it was done, the reason where it was refused, a `Reading` where it has to be tried
    again."""
    response = yield request
    if response.status in (200, 201, 204) and not response.redirected:
        return ""
    reading = jira.refused(response)
    (outcome,) = reading.outcomes
    if outcome.cls not in _REFUSED:
        return reading
    return outcome.text or "; ".join(outcome.fields.values()) or f"answer {response.status}"


def _linked(fields: dict[str, Any], kept: str) -> bool:
    links = fields.get("issuelinks")
    return any(
        _part(link, "type").get("name") == _LINK
        and kept in (_part(link, "inwardIssue").get("key"), _part(link, "outwardIssue").get("key"))
        for link in (links if isinstance(links, list) else [])
    )


def _part(value: Any, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _is_done(fields: dict[str, Any]) -> bool:
    return _category(fields.get("status")) == "done"


def _ends(way: dict[str, Any]) -> bool:
    return _category(way.get("to")) == "done"


def _category(status: Any) -> str:
    return str(_part(status, "statusCategory").get("key"))


def _preference(way: dict[str, Any]) -> int:
    """What says duplicate first, then what says close or reject, then whatever ends it."""
    name = str(way.get("name")).lower()
    if "duplicate" in name:
        return 0
    return 1 if any(word in name for word in ("close", "reject", "cancel", "won't")) else 2


def _resolution(way: dict[str, Any]) -> str | None:
    """Duplicate where the transition's screen offers it; else its first, where it demands one."""
    asked = _part(_part(way, "fields"), "resolution")
    allowed = asked.get("allowedValues")
    names = [
        str(v.get("name"))
        for v in (allowed if isinstance(allowed, list) else [])
        if isinstance(v, dict)
    ]
    if _LINK in names:
        return _LINK
    return names[0] if names and asked.get("required") else None
