"""Bodies checked against a vendor's published description (tests/fixtures/specs)."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

_FIXTURES = Path(__file__).parents[1] / "fixtures/specs"


@cache
def _spec(name: str) -> dict[str, Any]:
    return json.loads((_FIXTURES / name).read_text())


class Spec:
    """OpenAPI 3.0, whose schemas are those of draft 4 with a word or two more."""

    def __init__(self, name: str):
        self.document = _spec(name)
        resource = Resource.from_contents(self.document, default_specification=DRAFT4)
        self._registry = Registry().with_resource("spec:", resource)

    def operation(self, method: str, url: str) -> tuple[str, dict[str, Any]]:
        """Its path in the description, and what is said of it there. Raises `KeyError`."""
        path = urlsplit(url).path
        fits = [
            known
            for known in self.document["paths"]
            if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(known)), path)
        ]
        for known in sorted(fits, key=lambda known: known.count("{")):
            if method.lower() in self.document["paths"][known]:
                return known, self.document["paths"][known][method.lower()]
        raise KeyError(f"{method} {path}")

    def check_request(self, method: str, url: str, body: bytes) -> None:
        """Raises `jsonschema.ValidationError`; `AssertionError` for a parameter that is not
        described."""
        path, operation = self.operation(method, url)
        parameters = [
            *operation.get("parameters", []),
            *self.document["paths"][path].get("parameters", []),
        ]
        known = {p["name"] for p in parameters if p["in"] == "query"}
        unknown = {name for name, _ in parse_qsl(urlsplit(url).query)} - known
        assert not unknown, f"{method} {path} has no {unknown}"
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            self._validate(json.loads(body), content["application/json"]["schema"])

    def check_answer(self, method: str, url: str, status: int, body: bytes) -> None:
        """Raises `KeyError` for a status that is not described, `jsonschema.ValidationError`."""
        _, operation = self.operation(method, url)
        content = operation["responses"][str(status)].get("content", {})
        schema = content.get("application/json", {}).get("schema")
        if schema is not None and (body or status != 204):
            self._validate(json.loads(body), schema)

    def _validate(self, value: Any, schema: dict[str, Any]) -> None:
        at_home = json.loads(json.dumps(schema).replace('"#/components/', '"spec:#/components/'))
        Draft4Validator(at_home, registry=self._registry).validate(value)
