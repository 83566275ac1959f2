"""What a form is told of a destination: its map, and what the system says of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.destinations.world import talk

from fieldpost.destinations.adapter import Adapter
from fieldpost.destinations.base import Discovered
from fieldpost.destinations.entry import entry
from fieldpost.destinations.fieldmap import Rule
from fieldpost.destinations.records import Described, choices_left, discovered, unplaced
from fieldpost.engine.kinds import SEVERITIES
from fieldpost.testing.fakes import FakeClock
from fieldpost.testing.vendors import autotask, jira, salesforce, servicenow, zendesk
from fieldpost.testing.vendors.base import Vendor

PRIORITY = Rule("priority", "severity", choices={"low": "P3", "high": "P1"})
ELSE = Rule("priority", "severity", choices={"low": "P3", "high": "P1"}, otherwise="P2")


def shown(adapter: Adapter, said: Discovered) -> dict[str, Any]:
    return entry("desk", "Desk", adapter, said, "online")["fields"]["ticket"]


def test_a_list_of_which_nothing_is_left_is_left_out() -> None:
    """Else the form offers the values all the same, and its check refuses each of them."""
    made = shown(Adapter("desk"), Discovered(choices={"ticket": {"severity": ()}}))
    assert "severity" not in made["choices"]
    made = shown(Adapter("desk"), Discovered(choices={"ticket": {"severity": ("low",)}}))
    assert made["choices"]["severity"] == ["low"]
    assert shown(Adapter("desk"), Discovered())["choices"]["severity"] == list(SEVERITIES)


def test_nobody_is_asked_for_what_the_item_itself_has() -> None:
    asked = Discovered(required={"ticket": ("@id", "category")})
    assert shown(Adapter("desk"), asked)["required"] == ["summary", "category"]


def _jira(fake: Any) -> None:
    fake.priorities = ["P1", "P2"]


def _servicenow(fake: Any) -> None:
    fake.choices = [dict(row, value="9" + row["value"]) for row in fake.choices]


def _zendesk(fake: Any) -> None:
    fake.ticket_fields[2]["system_field_options"] = [{"name": "P1", "value": "p1"}]


def _salesforce(fake: Any) -> None:
    fake.fields["Priority"]["values"] = ("P1", "P2")


def _autotask(fake: Any) -> None:
    fake.priorities = ("10", "11")


SITES: dict[str, tuple[Callable[[Any], Any], Callable[[Vendor], None]]] = {
    "autotask": (autotask.bench, _autotask),
    "jira": (jira.bench, _jira),
    "salesforce": (salesforce.bench, _salesforce),
    "servicenow": (servicenow.bench, _servicenow),
    "zendesk": (zendesk.bench, _zendesk),
}


@pytest.mark.parametrize("name", SITES)
def test_a_site_with_other_priorities_leaves_the_form_usable_and_says_so(name: str) -> None:
    bench, differs = SITES[name]
    adapter, fake, credentials = bench(FakeClock())
    if name == "autotask":
        adapter.zone = fake.url + fake.zone_path
    differs(fake)
    found = talk(adapter.discover(), fake, credentials)
    offered = shown(adapter, found)["choices"].get("severity", list(SEVERITIES))
    assert offered == list(SEVERITIES)
    field = "impact" if name == "servicenow" else "priority"
    assert [note for note in found.notes if field in note.lower()]


def test_a_set_up_that_allows_less_is_not_called_sure() -> None:
    adapter, fake, credentials = salesforce.bench(FakeClock())
    found = talk(adapter.discover(), fake, credentials)
    assert entry("cases", "Cases", adapter, found, "online")["guarantee"] == "strong"
    fake.fields[adapter.external_id_field]["unique"] = False
    found = talk(adapter.discover(), fake, credentials)
    assert entry("cases", "Cases", adapter, found, "online")["guarantee"] == "checked"


# --- the two ways of saying what a map does not fit ----------------------------------------------


def by_descriptions(*rules: Rule, **offered: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    fields = [Described(name, "", choices=values) for name, values in offered.items()]
    found = discovered({"ticket": rules}, fields)
    return found.choices["ticket"], " ".join(found.notes)


def by_values(*rules: Rule, **offered: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    return choices_left(rules, offered), " ".join(unplaced(rules, offered))


either = pytest.mark.parametrize("told", [by_descriptions, by_values])


@either
def test_only_what_is_written_as_something_offered_is_left(told: Any) -> None:
    choices, notes = told(PRIORITY, priority=("P1", "P2"))
    assert choices == {"severity": ("high",)}
    assert "P3" in notes


@either
def test_with_an_otherwise_nothing_is_withheld_and_what_does_not_fit_is_said(told: Any) -> None:
    choices, notes = told(ELSE, priority=("P2", "P4"))
    assert choices == {}
    assert "P1" in notes
    assert "P3" in notes
    assert told(ELSE, priority=("P1", "P2", "P3")) == ({}, "")
    assert "P2" in told(ELSE, priority=("P1", "P3"))[1]


@either
def test_a_fixed_value_that_is_not_offered_is_said(told: Any) -> None:
    choices, notes = told(Rule("status", value=1), status=("5", "8"))
    assert choices == {}
    assert "status" in notes
    assert told(Rule("status", value=1), status=("1", "8")) == ({}, "")


@either
def test_of_two_rules_for_one_field_both_count(told: Any) -> None:
    other = Rule("urgency", "severity", choices={"low": "1", "high": "2", "medium": "3"})
    choices, _ = told(other, PRIORITY, urgency=("1", "2"), priority=("P3", "P2"))
    assert set(choices["severity"]) - {"medium"} == {"low"}
    plain = Rule("urgency", "severity")
    choices, _ = told(plain, PRIORITY, urgency=("low", "high"), priority=("P1", "P2"))
    assert choices == {"severity": ("high",)}
