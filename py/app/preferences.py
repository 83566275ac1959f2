"""Settings of sending: what the engine reports in plain words, and a form's values as changes.
Pure. A setting that the engine does not report is not offered."""

#: (value, name, what it means) of each choice.
STRATEGIES = (
    ("priority", "Most important first", "What is equally important, in the order it was saved."),
    ("fifo", "Oldest first", "In the order it was saved, whatever its priority."),
    ("lifo", "Newest first", "What was just saved goes first; older work follows."),
    ("weighted", "A fair mix", "Important work more often, with the rest in between."),
    ("adaptive", "As it fits", "Weighs priority and age by how well and how fast sending goes."),
)
SYNCS = (
    ("immediate", "At once", "Each item goes as soon as there is a network."),
    ("batched", "Together", "Items are collected and go in one piece."),
    ("scheduled", "At set times", "Nothing goes in between, unless you choose Sync now."),
)

#: name -> (label, lowest, highest) of the numbers; which sync each belongs to (None: any).
NUMBERS = {
    "max_wait_minutes": ("Longest wait behind other items, in minutes", 1, 10080, None),
    "batch_items": ("Send when so many have come together", 2, 100, "batched"),
    "batch_seconds": ("Or when the first one has waited so many seconds", 1, 86400, "batched"),
    "every_minutes": ("Every so many minutes (0: only at the times above)", 0, 1440, "scheduled"),
}

#: Settings that are on or off.
SWITCHES = ("wait_for_unmetered", "save_power")


def offered(settings, name):
    """Whether the engine reports it, and in the sync chosen now it means something."""
    if settings is None or name not in settings:
        return False
    mode = {"at_times": "scheduled"}.get(name) or (NUMBERS.get(name) or (None,) * 4)[3]
    return mode is None or mode == settings.get("sync")


def times(text):
    """``"7:30, 18:00"`` as the engine takes them; one that is not understood stays as typed."""
    parts = [part for part in text.replace(";", ",").replace(" ", ",").split(",") if part]
    return [_time(part) for part in parts]


def _time(part):
    hours, colon, minutes = part.partition(":")
    if not colon:
        minutes = "00"
    if not is_time(hours + ":" + minutes):
        return part
    return f"{int(hours):02d}:{int(minutes):02d}"


def is_time(text):
    hours, _, minutes = text.partition(":")
    return hours.isdigit() and minutes.isdigit() and int(hours) < 24 and int(minutes) < 60


def changes(settings, values):
    """``(changes, errors)``: what differs from the settings in a form's values, by name."""
    made, wrong = {}, {}
    for name in ("strategy", "sync"):
        if name in settings and values.get(name) and values[name] != settings[name]:
            made[name] = values[name]
    for name in SWITCHES:
        if name in settings and (values.get(name) is not None) != settings[name]:
            made[name] = not settings[name]
    shown = [name for name in NUMBERS if name in settings and name in values]
    for name in shown:
        _number(name, settings[name], values[name].strip(), made, wrong)
    if "at_times" in settings and "at_times" in values:
        _times(list(settings["at_times"]), times(values["at_times"]), made, wrong)
    unscheduled = not settings.get("at_times") and not settings.get("every_minutes")
    if made.get("sync") == "scheduled" and unscheduled and "at_times" not in made:
        made["at_times"] = ["18:00"]  # a schedule needs one; it is shown and can be changed
    return made, wrong


def _number(name, was, text, made, wrong):
    _, low, high, _ = NUMBERS[name]
    if text == str(was):
        return
    if text.isdigit() and low <= int(text) <= high:
        made[name] = int(text)
    else:
        wrong[name] = f"Enter a whole number from {low} to {high}."


def _times(was, wanted, made, wrong):
    bad = [one for one in wanted if not is_time(one)]
    if bad:
        wrong["at_times"] = f"{bad[0]} is not a time. Write it as 18:30."
    elif wanted != was:
        made["at_times"] = wanted


def errors(told):
    """What the engine found wrong, as sentences."""
    return {name: f"This {told[name]}." for name in told}
