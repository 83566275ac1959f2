"""Words and numbers as people read them: the same on CPython and on MicroPython."""

from app import words

NOW = 1700000000000


def check_sizes_step_at_the_units():
    assert [words.size(n) for n in (0, 812, 999, 1000, 1499, 1500, 999499)] == [
        "0 B",
        "812 B",
        "999 B",
        "1 kB",
        "1 kB",
        "2 kB",
        "999 kB",
    ]
    assert words.size(3400000) == "3.4 MB"
    assert words.size(90 * 1024 * 1024) == "94.4 MB"
    assert words.size(2500000000) == "2.5 GB"


def check_past_times_never_lie_in_the_future():
    assert words.ago(NOW + 5000, NOW) == "just now"
    assert words.ago(NOW - 44000, NOW) == "just now"
    assert words.ago(NOW - 46000, NOW) == "1 min ago"
    assert words.ago(NOW - 59 * 60000, NOW) == "59 min ago"
    assert words.ago(NOW - 3 * 3600000, NOW) == "3 h ago"
    assert words.ago(NOW - 30 * 3600000, NOW) == "yesterday"
    assert words.ago(NOW - 72 * 3600000, NOW) == "3 days ago"


def check_next_tries():
    assert words.until(NOW - 1, NOW) == "now"
    assert words.until(NOW + 24000, NOW) == "in 24 s"
    assert words.until(NOW + 90000, NOW) == "in 2 min"
    assert words.until(NOW + 7200000, NOW) == "in 2 h"


def check_counts_and_shares():
    assert words.count(1, "photo") == "1 photo"
    assert words.count(3, "item is", "items are") == "3 items are"
    assert words.percent(0, 0) == 0
    assert words.percent(1, 3) == 33
    assert words.percent(7, 3) == 100


def check_states_without_words_from_the_engine():
    assert words.state({"state": "unknown"}) == ("Checking whether it arrived", "busy")
    assert words.state({"state": "failed", "state_text": "Refused"}) == ("Refused", "bad")
    assert words.state({"state": "from the future"}) == ("from the future", "wait")


def check_labels_and_ids():
    assert words.label("osVersion") == "System"
    assert words.label("serialNumber") == "Serial number"
    assert words.label("cost_centre") == "Cost centre"
    assert words.short_id("01938b2e-5c1f-7a3b-9d2e-0123456789ab") == "456789ab"
