"""A Jira site in memory, in the cloud (v3) or on a data centre (v2), with its traps.

Kept true to: no idempotency; a search that shows an issue only after ``lag_ms``; text as ADF (v3)
or wiki markup (v2), the wrong one refused; priorities and create screens by site; a credential that
is not taken may be answered as anybody's (`as_anybody`); files stored byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fieldpost.destinations.jira import PROPERTY, Jira
from fieldpost.ports import Clock, Response

from .base import Ask, Record, Vendor, answer, basic

URL = "https://acme.jira.example"
EMAIL, TOKEN = "fieldpost@example.org", "not-a-secret"
_ISSUE = re.compile(r"/issue/([A-Z]+-\d+)(?:/(attachments|comment|transitions))?")
_META = re.compile(r"/issue/createmeta/([A-Z]+)/issuetypes(?:/(\d+))?")
_DONE = {"name": "Done", "statusCategory": {"key": "done"}}
_OPEN = {"name": "To Do", "statusCategory": {"key": "new"}}
_TYPES = {"10004": "Bug", "10001": "Task"}


class FakeJira(Vendor):
    """``lag_ms``: what the search does not show yet; ``priorities``: of this site; ``screen``: what
    may be set at creation; ``required``: what must be; ``transitions``: as the API offers them;
    ``max_file``: bytes; ``as_anybody``: a wrong credential sees what anybody sees; ``links``:
    pairs of (double, kept); ``link_types``: that this site has."""

    def __init__(
        self,
        url: str = URL,
        *,
        now: Callable[[], int] | None = None,
        flavour: str = "cloud",
        lag_ms: int = 0,
    ):
        super().__init__(url, now=now)
        self.flavour, self.lag_ms = flavour, lag_ms
        self.base = f"/rest/api/{3 if flavour == 'cloud' else 2}"
        self.priorities = ["Highest", "High", "Medium", "Low", "Lowest"]
        self.screen = {"project", "issuetype", "summary", "description", "priority", "labels"}
        self.required: set[str] = set()
        self.max_file = 10 * 1024 * 1024
        self.as_anybody = False
        self.links: list[tuple[str, str]] = []
        self.link_types = {"Duplicate", "Blocks"}
        self.comments: list[tuple[str, Any]] = []
        self.transitions: list[dict[str, Any]] = [
            {"id": "21", "name": "Start", "to": {"statusCategory": {"key": "indeterminate"}}},
            {"id": "31", "name": "Close", "to": _DONE},
        ]
        self.bodies: list[tuple[str, str, Any]] = []  # method, path, JSON: what was written

    # --- who asks --------------------------------------------------------------------------------

    def authorised(self, ask: Ask) -> bool:
        return ask.headers.get("authorization") == self.credential

    @property
    def credential(self) -> str:
        return basic(EMAIL, TOKEN) if self.flavour == "cloud" else f"Bearer {TOKEN}"

    def unauthorised(self) -> Response:
        why = "AUTHENTICATED_FAILED"
        if self.as_anybody:
            return answer({"issues": [], "isLast": True}, x_seraph_loginreason=why)
        body = {"message": "Client must be authenticated to access this resource."}
        return answer({**body, "status-code": 401}, 401, x_seraph_loginreason=why)

    # --- routes ----------------------------------------------------------------------------------

    def route(self, ask: Ask) -> Response:
        path = ask.path.removeprefix(self.base)
        if path == ask.path:
            return _refused(404, "There is no such resource.")
        if ask.method != "GET" and ask.json is not None:
            self.bodies.append((ask.method, path, ask.json))
        if path == "/myself":
            who = {"accountId": "5b10"} if self.flavour == "cloud" else {"name": "fp", "key": "fp"}
            return answer(who, x_ausername="fieldpost")
        if path == ("/search/jql" if self.flavour == "cloud" else "/search"):
            return self._search(ask)
        if path == "/issue" and ask.method == "POST":
            return self._create(ask.json)
        if path == "/issueLink" and ask.method == "POST":
            return self._link(ask.json)
        if path == "/attachment/meta":
            return answer({"enabled": True, "uploadLimit": self.max_file})
        if found := _META.fullmatch(path):
            return self._meta(found[2])
        found = _ISSUE.fullmatch(path)
        record = self._of(found[1]) if found else None
        if found is None or record is None:
            return _refused(404, "Issue does not exist or you do not have permission to see it.")
        return self._issue(ask, record, found[2] or "")

    def _issue(self, ask: Ask, record: Record, part: str) -> Response:
        if part == "attachments":
            return self._attach(ask, record)
        if part == "comment":
            if wrong := self._text_wrong(ask.json.get("body")):
                return _refused(400, comment=wrong)
            self.comments.append((record.number, ask.json["body"]))
            return answer({"id": str(len(self.comments))}, 201)
        if part == "transitions" and ask.method == "GET":
            return answer({"transitions": self.transitions})
        if part == "transitions":
            return self._move(record, ask.json)
        if ask.method == "PUT":
            added = [op["add"] for op in ask.json["update"]["labels"]]
            record.fields["labels"] += [name for name in added if " " not in name]
            return Response(204, {}, b"")
        return answer(self._shown(record, set(ask.query.get("fields", "").split(","))))

    # --- issues ----------------------------------------------------------------------------------

    def _create(self, body: Any) -> Response:
        fields = body.get("fields") if isinstance(body, dict) else None
        if not isinstance(fields, dict):
            return _refused(400, "The body is not that of an issue.")
        wrong = {
            name: f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
            for name in sorted(set(fields) - self.screen)
        }
        for name in sorted(self.required | {"summary", "project", "issuetype"}):
            if not fields.get(name):
                wrong[name] = f"{name} is required."
        if len(str(fields.get("summary"))) > 255 or "\n" in str(fields.get("summary")):
            wrong["summary"] = (
                "The summary is invalid: it has several lines or over 255 characters."
            )
        if "description" in fields and (bad := self._text_wrong(fields["description"])):
            wrong["description"] = bad
        if fields.get("priority", {}).get("name", "Low") not in self.priorities:
            wrong["priority"] = "The priority selected is invalid."
        if fields.get("issuetype", {}).get("name") not in _TYPES.values():
            wrong["issuetype"] = "Specify a valid issue type"
        if any(" " in label or not label for label in fields.get("labels", [])):
            wrong["labels"] = "The label contains spaces which is invalid."
        if wrong:
            return _refused(400, **wrong)
        n = len(self.records) + 1
        properties = {p["key"]: p["value"] for p in body.get("properties", [])}
        op = str(properties.get(PROPERTY, {}).get("op", ""))
        key = f"{fields['project']['key']}-{n}"
        kept = {"labels": [], **fields, "status": _OPEN, "properties": properties}
        self.records.append(Record(str(10_000 + n), key, op, kept, self.now()))
        link = f"{self.url}{self.base}/issue/{10_000 + n}"
        return answer({"id": str(10_000 + n), "key": key, "self": link}, 201)

    def _text_wrong(self, text: Any) -> str:
        if self.flavour != "cloud":
            return "" if isinstance(text, str) else "Operation value must be a string"
        if not isinstance(text, dict) or text.get("type") != "doc" or text.get("version") != 1:
            return (
                "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
            )
        return "" if all(map(is_block, text.get("content", [None]))) else "INVALID_INPUT"

    def _search(self, ask: Ask) -> Response:
        found = re.fullmatch(r'labels = "([^"]+)" ORDER BY created ASC', ask.query.get("jql", ""))
        if found is None:
            return _refused(400, "Error in the JQL Query.")
        wanted = set(ask.query.get("fields", "").split(","))
        seen = [r for r in self.records if self.now() - r.at >= self.lag_ms]
        hits = [self._shown(r, wanted) for r in seen if found[1] in r.fields["labels"]]
        page = hits[: int(ask.query.get("maxResults", "50"))]
        if self.flavour == "cloud":
            return answer({"issues": page, "isLast": True})
        return answer({"issues": page, "total": len(hits), "startAt": 0, "maxResults": 50})

    def _shown(self, record: Record, wanted: set[str]) -> dict[str, Any]:
        files = [{"filename": n, "mimeType": k, "size": len(d)} for n, k, d in record.files]
        ends = [(kept, "outwardIssue") for double, kept in self.links if double == record.number]
        ends += [(double, "inwardIssue") for double, kept in self.links if kept == record.number]
        links = [{"type": {"name": "Duplicate"}, end: {"key": key}} for key, end in ends]
        every = {**record.fields, "attachment": files, "issuelinks": links, "created": record.at}
        fields = {name: value for name, value in every.items() if name in wanted}
        marked = {PROPERTY: record.fields["properties"].get(PROPERTY)}
        return {"id": record.id, "key": record.number, "fields": fields, "properties": marked}

    def _move(self, record: Record, body: Any) -> Response:
        way = next((t for t in self.transitions if t["id"] == body["transition"]["id"]), None)
        if way is None:
            return _refused(400, "It seems that you have tried to perform an illegal operation.")
        screen = way.get("fields", {})
        given = body.get("fields", {})
        if set(given) - set(screen):
            return _refused(400, resolution="Field 'resolution' cannot be set.")
        if missing := [n for n, f in screen.items() if f.get("required") and n not in given]:
            return _refused(400, **{missing[0]: f"{missing[0]} is required."})
        record.fields["status"] = way["to"]
        record.fields |= given
        record.open = way["to"]["statusCategory"]["key"] != "done"
        return Response(204, {}, b"")

    def _link(self, body: Any) -> Response:
        if body["type"]["name"] not in self.link_types:
            return _refused(404, "No issue link type with that name found.")
        self.links.append((body["inwardIssue"]["key"], body["outwardIssue"]["key"]))
        return Response(201, {}, b"")

    def _attach(self, ask: Ask, record: Record) -> Response:
        if ask.headers.get("x-atlassian-token") != "no-check":
            return Response(403, {"content-type": "text/html"}, b"XSRF check failed")
        boundary = ask.headers.get("content-type", "").partition("boundary=")[2].encode()
        head, _, rest = ask.body.partition(b"\r\n\r\n")
        data = rest.removesuffix(b"\r\n--" + boundary + b"--\r\n")
        named = re.search(rb'name="file"; filename="([^"]*)"\r\nContent-Type: (\S+)', head)
        if not head.startswith(b"--" + boundary) or named is None or data == rest:
            return _refused(400, "The request is not a form with a file.")
        if len(data) > self.max_file:
            return _refused(413, f"The file is larger than {self.max_file} bytes.")
        record.files.append((named[1].decode(), named[2].decode(), data))
        return answer([{"id": "1", "filename": named[1].decode(), "size": len(data)}])

    def _meta(self, asked: str | None) -> Response:
        if asked is None:
            kinds = [{"id": number, "name": name} for number, name in _TYPES.items()]
            return answer({"issueTypes" if self.flavour == "cloud" else "values": kinds})
        allowed = {"priority": [{"id": str(n), "name": p} for n, p in enumerate(self.priorities)]}
        fields = [
            {
                "fieldId": name,
                "key": name,
                "operations": ["set"],
                "schema": {"type": "string", "system": name},
                "name": name.capitalize(),
                "required": name in self.required | {"summary", "project", "issuetype"},
                "hasDefaultValue": False,
                **({"allowedValues": allowed[name]} if name in allowed else {}),
            }
            for name in sorted(self.screen)
        ]
        return answer({"fields" if self.flavour == "cloud" else "values": fields})

    def _of(self, key: str) -> Record | None:
        return next((r for r in self.records if r.number == key), None)


def is_block(node: Any) -> bool:
    """A paragraph of texts that are not empty, and of hard breaks."""
    if not isinstance(node, dict) or node.get("type") != "paragraph":
        return False
    return all(
        part == {"type": "hardBreak"}
        or (part.get("type") == "text" and isinstance(part.get("text"), str) and part["text"] != "")
        for part in node.get("content", [])
    )


def _refused(status: int, *messages: str, **errors: str) -> Response:
    return answer({"errorMessages": list(messages), "errors": errors}, status)


def bench(clock: Clock, flavour: str = "cloud") -> tuple[Jira, FakeJira, dict[str, dict[str, str]]]:
    """An adapter, its fake on ``clock``, and the credentials that the host adds."""
    vendor = FakeJira(now=clock.now, flavour=flavour, lag_ms=5_000)
    adapter = Jira(
        base_url=URL,
        project_key="ED",
        flavour="cloud" if flavour == "cloud" else "datacenter",
        credential="jira",
    )
    return adapter, vendor, {"jira": {"Authorization": vendor.credential}}
