"""The switch that spares the battery, and what is said beside it."""

from app import preferences
from app.element import find, text_of
from app.views import settings

VALUES = {
    "strategy": "priority",
    "sync": "immediate",
    "wait_for_unmetered": False,
    "save_power": True,
}


def shown(values, status=None):
    known = {"values": values, "errors": {}, "said": ""}
    state = {"settings": known, "status": status, "now": 0, "counts": None}
    return [part for part in settings.settings(state) if part]


def check_the_switch_is_offered_where_the_engine_has_it():
    whole = shown(VALUES)
    assert find(whole, "input", {"name": "save_power", "checked": True})
    assert find(whole, "input", {"name": "wait_for_unmetered", "checked": False})
    earlier = dict(VALUES)
    del earlier["save_power"]
    assert not find(shown(earlier), "input", {"name": "save_power"})


def check_its_effect_is_told_while_it_has_one():
    thrift = {"reason": "battery", "text": "Files wait because the battery is low."}
    said = text_of(shown(VALUES, {"network": {"thrift": thrift}}))
    assert "Files wait because the battery is low." in said
    for status in (None, {}, {"network": {"quality": "good"}}, {"network": {"thrift": None}}):
        assert "Files wait because" not in text_of(shown(VALUES, status))


def check_each_switch_is_configured_for_itself():
    form = {"strategy": "priority", "sync": "immediate", "save_power": "on"}
    assert preferences.changes(VALUES, form) == ({}, {})
    del form["save_power"]
    assert preferences.changes(VALUES, form) == ({"save_power": False}, {})
    form.update({"wait_for_unmetered": "on"})
    made, _ = preferences.changes(VALUES, form)
    assert made == {"save_power": False, "wait_for_unmetered": True}
