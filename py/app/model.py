"""From what people typed to what is saved; from what is known to what is said. Pure."""

from app import catalogue, words

PRIORITIES = {"low": 2, "normal": 5, "high": 8, "critical": 10}
#: What a list shows of an item: the head of a row holds 256 bytes, titles of any script included.
TITLE_CHARACTERS = 60

FORMS = ("ticket", "feedback")
#: The fields of a form that remember who filled it in last.
REQUESTER = {"ticket": ("user.name", "user.email"), "feedback": ("userName",)}


def draft_name(kind, tab):
    """Under which name this tab keeps the draft of a form."""
    return kind if tab == 1 else f"{kind}:{tab}"


def fields(kind):
    """The names of a form's fields, from top to bottom."""
    return {
        "ticket": ("summary", "description", "category", "severity", "user.name", "user.email"),
        "feedback": ("rating", "comment", "userName"),
    }[kind]


def first_wrong(names, errors):
    """The first of these that is wrong, else the first."""
    for name in names:
        if name in errors:
            return name
    return names[0]


def payload(kind, values, facts, given=None):
    """The payload of docs/formats.md section 6 from a form's values (dotted names nest); ``given``:
    the catalogue."""
    made = {}
    for name in values:
        value = values[name].strip() if isinstance(values[name], str) else values[name]
        path = catalogue.path_of(name)
        if value not in ("", None) and path is not None:
            value = catalogue.typed(given, kind, values.get("destination"), path, value)
            _put(made, path.split("."), value)
    if kind == "feedback" and "rating" in made:
        made["rating"] = int(made["rating"])
    mine = catalogue.FACTS[kind]
    asked = made.get(mine)
    made[mine] = dict(facts)
    if isinstance(asked, dict):  # the device did not know, and a destination wants it
        made[mine].update(asked)
    return made


def _put(place, names, value):
    for name in names[:-1]:
        if not isinstance(place.get(name), dict):
            place[name] = {}
        place = place[name]
    if not isinstance(place.get(names[-1]), dict):
        place[names[-1]] = value


def capture(kind, identity, at, values, files, facts, given=None):
    """What `device.capture` takes, without the draft's name; ``given``: the catalogue."""
    content = payload(kind, values, facts, given)
    data = {
        # Fixed here: a copy of it that another device sends, from a rescue file, is the same one.
        "send_id": identity,
        "kind": kind,
        "operation": "create",
        "payload": content,
        "title": title(kind, content),
        "attachments": [{"id": f["id"], "size": f["size"], "parts": f["parts"]} for f in files],
    }
    if values.get("priority"):
        data["priority"] = PRIORITIES[values["priority"]]
    if values.get("destination") not in (None, "", catalogue.INBOX):
        data["destination"] = values["destination"]
    return {"id": identity, "at": at, "data": data}


def title(kind, content):
    text = content.get("summary") or content.get("comment") or words.KINDS.get(kind, (kind,))[0]
    text = " ".join(text.split())
    return text if len(text) <= TITLE_CHARACTERS else text[: TITLE_CHARACTERS - 1] + "…"


def blank(values):
    """Nothing that a person wrote: remembered names and preset choices do not count."""
    written = ("summary", "description", "comment", "rating")
    return not any((values.get(name) or "").strip() for name in written)


def stored(files):
    return [f for f in files if f["state"] == "stored"]


def draft(values, files, held=None):
    """What is kept of an unfinished form; ``attachments`` keeps their bytes from collection.
    ``held``: it is finished and saves itself when there is room (see `app.form.Form.held`)."""
    kept = stored(files)
    names = ("id", "name", "type", "size", "parts", "before", "note")
    made = {
        "values": values,
        "files": [{name: f.get(name) for name in names} for f in kept],
        "attachments": [f["id"] for f in kept],
    }
    if held:
        made["held"] = held
    return made


def why_not_save(files):
    """Why Save has to wait, in words; None when it need not."""
    busy = [f for f in files if f["state"] in ("waiting", "reducing", "storing")]
    if len(busy) == 1:
        return "One moment: {} is still being put on this device.".format(busy[0]["name"])
    if busy:
        return f"One moment: {len(busy)} attachments are still being put on this device."
    for one in files:
        # Never left out without a word.
        if one["state"] not in ("stored", "kept") or one.get("over"):
            return "{} cannot be sent along. Remove it, then save.".format(one["name"])
    return None


def can_reduce(kind_of_file):
    """Photos a canvas may re-encode. Drawings and moving pictures would lose what they are."""
    return kind_of_file.startswith("image/") and kind_of_file not in ("image/gif", "image/svg+xml")


def target(width, height, longest):
    """The size a photo is reduced to: its longest side at most ``longest``, never enlarged."""
    largest = max(width, height)
    if largest <= longest:
        return (width, height)
    return (max(1, width * longest // largest), max(1, height * longest // largest))


#: connection -> (words, tone). The engine may say it in words of its own (`connection_text`).
CONNECTIONS = {
    "online": ("Online", "good"),
    "offline": ("No network", "off"),
    "unreachable": ("Server not answering", "warn"),
    "sign_in_page": ("A sign-in page is in the way", "warn"),
    "signed_out": ("Signed out", "warn"),
    "update_required": ("An update is needed before anything can be sent", "warn"),
    "no_gateway": ("No server here: everything stays on this device", "off"),
}


def connection(state):
    """(words, tone) for the first thing that stands in the way, nearest to the person first."""
    if state.get("storage_error"):
        return ("Storage problem", "bad")
    if not state["online"]:
        return CONNECTIONS["offline"]
    if state["engine"] == "restarting":
        return ("Restarting the engine", "warn")
    if state["engine"] == "failed":
        return ("The engine does not start", "bad")
    status = state.get("status")
    if not status:
        return ("Starting", "off")
    known = CONNECTIONS.get(status.get("connection"))
    if status.get("connection") == "no_gateway" and state.get("accounts"):
        from app import reached  # noqa: PLC0415 - read only where there are some

        return reached.connection(state)
    if known is None:
        return (status.get("connection_text") or "Online", "off")
    return (known[0] if known[1] == "good" else status.get("connection_text") or known[0], known[1])


def waiting(state):
    """How many wait, from the engine, or from the counters on the device while it starts."""
    status = state.get("status")
    if status:
        return status.get("waiting") or 0
    counts = state.get("counts") or {}
    return (counts.get("open") or 0) + (counts.get("inbox") or 0)


#: Of the room that the browser gives.
STORAGE_WARN_PERCENT = 80

#: connection -> (what is the matter, what to do, where) of those that a person has to end.
TO_END = {
    "signed_out": (
        "The server does not know this device.",
        "Nothing is sent until its token is entered.",
        ("#about", "Enter the token"),
    ),
    "sign_in_page": (
        "A sign-in page is in the way.",
        "Open the network's page and sign in; sending goes on by itself.",
        None,
    ),
    "update_required": (
        "The app must be updated before anything can be sent.",
        "Reload the page when it suits you; nothing is lost.",
        None,
    ),
}


def matters(state):
    """What stands in the way of all items: (key, tone, text, what to do, (hash, words) or None)."""
    status = state.get("status") or {}
    found = []
    trouble = status.get("trouble")
    if trouble:
        found.append(("trouble", "bad", trouble["message"], trouble.get("todo"), None))
    to_end = TO_END.get(status.get("connection"))
    if to_end and state["online"]:
        text, todo, link = to_end
        found.append(("connection", "warn", text, todo, link))
    if state.get("accounts"):
        from app import reached  # noqa: PLC0415 - as above

        found.extend(reached.matters(state))
    for kind in FORMS:
        if (state.get("held") or {}).get(kind):
            text = f"A {words.KINDS[kind][0].lower()} is not saved yet: there is no room."
            todo = "It saves itself when there is."
            found.append(("held-" + kind, "warn", text, todo, ("#capture/" + kind, "Look at it")))
    found.extend(_storage(state))
    return found


def _storage(state):
    storage = state.get("storage") or {}
    used, quota = storage.get("used"), storage.get("quota")
    if used and quota:
        share = words.percent(used, quota)
        if share >= STORAGE_WARN_PERCENT:
            share = f"{share} % full: {words.size(used)} of {words.size(quota)}"
            text = f"The storage for this app is {share}."
            return [("storage", "warn", text, "Free some space on this device.", None)]
    if storage.get("kept") == "denied" and waiting(state):
        text = "The browser does not promise to keep what waits here."
        todo = "Send it soon, or keep a copy of it."
        return [("kept", "warn", text, todo, ("#about", "Export a rescue file"))]
    return []


def answer(told):
    """(what the server said, [(field's label, what is wrong with it)], for whoever looks it up)."""
    fields = (told or {}).get("fields") or {}
    text = (told or {}).get("text") or ""
    said = "; ".join([f"{name}: {fields[name]}" for name in fields])
    if said and text.endswith(said):  # the timeline has both in one line
        text = text[: len(text) - len(said)].strip()
    wrong = [(words.label(name.split(".")[-1]), fields[name]) for name in fields]
    status = (told or {}).get("status")
    codes = [status if status and status != 200 else None, (told or {}).get("code")]
    return (text, wrong, " · ".join([str(code) for code in codes if code]))


def attention(state):
    """How many things wait for a person."""
    return ((state.get("status") or {}).get("attention") or 0) + len(matters(state))


def limits(state):
    """The limits that the engine tells of, those worth a warning marked."""
    return [one for one in (state.get("status") or {}).get("limits") or [] if one.get("limit")]


def is_full(one):
    """A ring, which makes room by itself, is never warned of."""
    return bool(one.get("warn")) and one["used"] >= one["limit"]


def full(state, kind):
    """The limit that leaves no room for one more of this kind; None while there is room."""
    for one in limits(state):
        if one["name"] in (kind, "all") and is_full(one):
            return one
    return None


#: Codes of what is not saved only for want of room.
NO_ROOM = ("QUEUE_FULL", "QUEUE_STORAGE_FULL")
#: Codes that speak of one file.
OF_A_FILE = ("QUEUE_ATTACHMENT_TOO_LARGE", "QUEUE_ATTACHMENT_UNREADABLE")


def storage_fails(code):
    """The storage itself does not work: neither want of room nor a file is the reason."""
    return code not in NO_ROOM and code not in OF_A_FILE


def full_text(one):
    return f"There is no room: {limit_text(one)} wait to be sent."


def limit_text(one):
    """``16 of 20 tickets``; a limit of bytes is said in sizes."""
    many = words.PLURALS.get(one["name"], one["name"])
    if one.get("unit") == "bytes":
        return "{} of {} of {}".format(words.size(one["used"]), words.size(one["limit"]), many)
    return "{} of {} {}".format(one["used"], one["limit"], many)


def new_box(view):
    """What a screen with a list keeps of it."""
    return {"view": view, "rows": None, "next": None, "loading": False, "error": None}


def route(text):
    """(screen, view) of a location hash; unknown ones lead to Capture."""
    parts = text.lstrip("#").split("/")
    views = {
        "capture": FORMS,
        "outbox": ("waiting", "sent"),
        "attention": ("",),
        "settings": ("",),
        "about": ("",),
    }
    if parts[0] not in views:
        return ("capture", "ticket")
    known = views[parts[0]]
    return (parts[0], parts[1] if len(parts) > 1 and parts[1] in known else known[0])


def refusal(size, reducible, taken, limits):
    """Why a file of this size cannot go along with ``taken`` others, in words; None when it can.
    ``limits``: see `catalogue.limits`; ``reducible``: it is a photo that gets smaller first."""
    if not limits["attachments"]:
        return "{} takes no files.".format(limits["title"])
    if taken >= limits["attachments"]:
        return "At most {} can be attached.".format(words.count(limits["attachments"], "file"))
    if size > limits["attachment_bytes"] and not reducible:
        return limit_error("The file", size, limits["attachment_bytes"])
    return None


def limit_error(name, size, most):
    most = words.size(most)
    return f"{name} is {words.size(size)}; at most {most} can be attached. Choose a smaller file."


def choices(kind, field, given, name=None, chosen=None):
    """(value, words) pairs for a select of this field, as the destination ``name`` has them; what
    is ``chosen`` already stays among them: a person changes it, not the form."""
    values = [str(value) for value in catalogue.choices(given, kind, field, name)]
    if chosen and chosen not in values:
        values.append(chosen)
    return [(value, value[:1].upper() + value[1:]) for value in values]
