"""Times, sizes and states as people say them. Pure; the same text on CPython and MicroPython."""

MINUTE_MS = 60 * 1000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

#: Characters: a rescue file is only as safe as its passphrase.
PASSPHRASE_MIN = 12

#: What a kind is called, and its drawing.
KINDS = {
    "ticket": ("Ticket", "ticket"),
    "feedback": ("Feedback", "message"),
    # What comes of an item, and nobody wrote.
    "attachment": ("File", "clip"),
    "sweep": ("Looks for doubles", "copy"),
}

#: More than one of a kind, and what else is counted.
PLURALS = {
    "ticket": "tickets",
    "feedback": "feedback",
    "log": "logs",
    "evidence": "evidence bundles",
    "all": "items",
}

#: For a row whose ``state_text`` is missing (an engine older than the page).
STATES = {
    "pending": "Waiting",
    "blocked": "Waiting for another one",
    "in_progress": "Sending",
    "unknown": "Checking whether it arrived",
    "handed_over": "With the gateway",
    "conflicted": "Changed by somebody else too",
    "completed": "Sent",
    "failed": "Not sent",
    "cancelled": "Cancelled",
    "expired": "Expired",
    "discarded": "Discarded",
}

#: The colour family of a state (a word always stands beside it).
TONES = {
    "in_progress": "busy",
    "unknown": "busy",
    "handed_over": "busy",
    "conflicted": "bad",
    "completed": "good",
    "failed": "bad",
    "expired": "bad",
    "cancelled": "off",
    "discarded": "off",
}

#: state -> why an item was left as it is by an act that its state does not allow.
LEFT = {
    "in_progress": "It is being sent.",
    "unknown": "It may have arrived; that is being found out.",
    "handed_over": "The gateway has it already.",
    "completed": "It has been sent.",
    "failed": "It was not accepted: see Attention.",
    "conflicted": "It needs your decision: see Attention.",
    "expired": "Its time was over: see Attention.",
    "cancelled": "It was cancelled before.",
    "discarded": "It was discarded before.",
}

PRIORITIES = {2: "Low", 5: "Normal", 8: "High", 10: "Critical"}

OUTCOMES = {
    "delivered": "Arrived",
    "duplicate": "Had arrived before",
    "handed_over": "Taken over by the gateway",
    "accepted": "The text has arrived, attachments follow",
    "transient": "Did not work this time",
    "rate_limited": "Asked to slow down",
    "auth": "Not signed in",
    "permission": "Not allowed",
    "permanent": "Refused",
    "conflict": "Changed by somebody else too",
    "too_large": "Too large",
    "unknown": "No answer: it may have arrived",
    # What people did, in the same timeline.
    "cancel": "Cancelled",
    "edit": "Corrected",
    "revive": "Tried again by hand",
    "discard": "Discarded",
    "restore": "Brought back",
    "priority": "Priority changed",
    "redirect": "Sent another way",
    "deliver": "Found at the server by a person",
    "lookup_absent": "Not found at the server by a person",
}


def count(number, one, many=None):
    """``1 photo``, ``3 photos``."""
    return "{} {}".format(number, one if number == 1 else (many or one + "s"))


def size(number):
    """Bytes as people write them: ``812 B``, ``4 kB``, ``3.4 MB``."""
    if number < 1000:
        return f"{number} B"
    if number < 1000 * 1000:
        return "%s kB" % ((number + 500) // 1000)
    if number < 1000 * 1000 * 1000:
        return f"{number / 1000000:.1f} MB"
    return f"{number / 1000000000:.1f} GB"


def ago(at, now):
    """How long since; a clock set back does not say "in the future" about the past."""
    passed = max(0, now - at)
    if passed < 45 * 1000:
        return "just now"
    if passed < 60 * MINUTE_MS:
        return f"{max(1, (passed + 30000) // MINUTE_MS)} min ago"
    if passed < DAY_MS:
        return "%s h ago" % (passed // HOUR_MS)
    if passed < 2 * DAY_MS:
        return "yesterday"
    return "%s days ago" % (passed // DAY_MS)


def until(at, now):
    """How long yet."""
    left = at - now
    if left <= 1500:
        return "now"
    if left < MINUTE_MS:
        return "in %s s" % ((left + 500) // 1000)
    if left < HOUR_MS:
        return "in %s min" % ((left + 30000) // MINUTE_MS)
    return "in %s h" % ((left + HOUR_MS // 2) // HOUR_MS)


def span(ms):
    """How long something took."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < MINUTE_MS:
        return f"{ms / 1000:.1f} s"
    return "%s min" % (ms // MINUTE_MS)


def percent(done, of):
    return 0 if not of else min(100, int(100 * done / of))


def state(row):
    """(words, tone) of a row; ``to``: its destination's title, where that is behind the gateway
    (see `catalogue.tell`)."""
    name, to = row.get("state") or "pending", row.get("to")
    text = row.get("state_text") or STATES.get(name, name)
    if to and name == "handed_over":
        text = "At the gateway, on its way to " + to
    elif to and name == "completed" and row["kind"] != "sweep":
        text = "In " + to
        if row["kind"] in KINDS and number(row):
            text += " as " + number(row)
    if "arrived" in row.get("can", ()):  # a person's word is all that it waits for
        return (text, "bad")
    return (text, TONES.get(name, "wait"))


def number(row):
    """What people at the destination call it; None where that is not known."""
    return row.get("remote_name") or row.get("remote_id")


def title(row):
    """What an item is called: its title, or its kind."""
    kind, said = row["kind"], row.get("title")
    if kind == "attachment":
        return "A file that was refused: {}".format(said or "Attachment")
    if kind == "sweep" and row.get("state") == "failed":
        return f"Perhaps there twice: “{said}”" if said else "Perhaps there twice"
    if kind == "sweep":
        return f"Looks for doubles of “{said}”" if said else KINDS[kind][0]
    return said or KINDS.get(kind, (kind,))[0]


def why(row):
    """Why it is not moving, unless its state says it already."""
    told = row.get("to") and row.get("state") == "handed_over"
    return None if told else row.get("why") or None


def priority(number):
    """In words; one without a name as it is."""
    return PRIORITIES.get(number) or str(number)


def short_id(identity):
    """The last group: the first ones of a UUIDv7 are a time and look alike."""
    return identity.split("-")[-1][-8:]


def label(name):
    """A payload's field name in words: ``osVersion`` becomes ``Os version``."""
    known = LABELS.get(name)
    if known:
        return known
    words = ""
    for letter in name.replace("_", " "):
        words += " " + letter.lower() if letter.isupper() else letter
    words = words.strip()
    return words[:1].upper() + words[1:]


LABELS = {
    "name": "Requester name",
    "userName": "Name",
    "email": "Requester email",
    "osVersion": "System",
    "deviceName": "Device",
    "timezone": "Time zone",
}

#: The order in which a payload is read; whatever is not named follows by name.
READING_ORDER = (
    "summary",
    "rating",
    "comment",
    "description",
    "category",
    "severity",
    "user",
    "userName",
    "name",
    "email",
    "systemInfo",
    "context",
)
