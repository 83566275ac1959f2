"""Every event of the page: one delegated listener a type, for the life of the app."""

from app import dom
from app.device import DeviceError

FILE_INPUTS = ("attachments", "camera")
#: The forms of the dialog that asks.
ASKED = (
    "edit-form",
    "discard-form",
    "chosen-form",
    "server-form",
    "kept-form",
    "dry-form",
    "revoke-form",
)


def listen(app):
    dom.listen("click", lambda event: _click(app, event))
    dom.listen("submit", lambda event: _submit(app, event))
    dom.listen("input", lambda event: _typed(app, event))
    dom.listen("change", lambda event: _chosen(app, event))
    dom.listen("keydown", lambda event: _key(app, event))
    dom.listen("paste", lambda event: _pasted(app, event))
    dom.listen("dragover", _drag_over)
    dom.listen("drop", lambda event: _dropped(app, event))
    dom.listen("close", lambda event: _closed(app, event), True)  # it does not bubble
    dom.listen("visibilitychange", lambda _event: _visibility(app))
    dom.listen_window("pagehide", lambda _event: _keep(app))
    dom.listen_window("hashchange", lambda _event: app.navigate())
    dom.listen_window("focus", lambda _event: app.try_kept())
    dom.listen_window("online", lambda _event: _link(app, True))
    dom.listen_window("offline", lambda _event: _link(app, False))


def _keep(app):
    for kind in app.forms:
        app.task(app.forms[kind].keep())


def _visibility(app):
    app.task(app.tell_device())
    if dom.visible():
        app.try_kept()
        app.task(app.engine.tell("nudge", {"reason": "visible"}))
        app.refresh_soon()
    else:
        _keep(app)


def _link(app, online):
    app.state["online"] = online
    app.try_kept()
    app.show()
    app.task(app.tell_link())
    app.refresh_soon()


def _form_of(app, element):
    """The capture form an element stands in, or None."""
    form = element.closest("form") if getattr(element, "closest", None) else None
    return None if form is None else app.forms.get(form.id)


def _submit(app, event):
    event.preventDefault()
    name = event.target.id
    form = app.forms.get(name)
    if form:
        app.task(form.save())
    elif name in ASKED:
        app.task(app.asking.submit())
    elif name == "settings":
        app.settings.changed()
    else:
        app.submitted(name)


def _typed(app, event):
    form = _form_of(app, event.target)
    if form is not None:
        form.changed()


def _chosen(app, event):
    target = event.target
    if target.type == "file" and target.id in FILE_INPUTS:
        _take_files(app, target.id)
    elif target.getAttribute("data-pick"):
        app.attention.pick(target.getAttribute("data-pick"), target.checked)
    elif target.getAttribute("data-select"):
        app.outbox.pick(target.getAttribute("data-select"), target.checked)
    elif target.id == "outbox-only":
        app.outbox.only(target.value)
    elif target.id == "dry-kind":
        app.destinations.chosen(target.value)
    elif target.closest("#settings") is not None:
        app.settings.changed()


def take_early_files(app):
    """Files chosen before anybody listened still lie in their inputs."""
    for name in FILE_INPUTS:
        _take_files(app, name)


def _take_files(app, name):
    if _add(app, dom.file_list(dom.by_id(name).files)):
        dom.reset_input(name)  # so that the same file can be chosen again


def _add(app, files):
    """False while they could not be taken."""
    if not files:
        return False
    form = app.forms["ticket"]
    try:
        form.files.add(files, form.limits(), dom.by_id("keep-original").checked)
    except DeviceError as error:
        app.storage_problem(error)
        return False
    return True


def _key(app, event):
    if event.key == "Enter" and (event.ctrlKey or event.metaKey):
        form = _form_of(app, event.target)
        if form is not None:
            event.preventDefault()
            app.task(form.save())
    elif event.key == "Escape" and event.target.closest("dialog") is None:
        app.outbox.escape()


def _pasted(app, event):
    files = dom.transfer_files(event.clipboardData)
    if files and app.forms and dom.is_shown("ticket"):
        event.preventDefault()
        _add(app, files)


def _drag_over(event):
    event.preventDefault()  # or a drop beside the field would open the file instead of the form


def _dropped(app, event):
    event.preventDefault()
    if app.forms and dom.is_shown("ticket"):
        _add(app, dom.transfer_files(event.dataTransfer))


def _closed(app, event):
    # Told later than it happens, and after keys pressed since: it may be open again.
    if event.target.open:
        return
    if event.target.id == "detail":
        app.outbox.closed()
    elif event.target.id == "ask":
        app.asking.closed()


def _click(app, event):
    if event.target.id == "detail":  # the backdrop is the dialog itself
        app.outbox.closed()
        return
    if event.target.id == "ask":
        return  # what was typed there is not thrown away by a slip
    name, element = dom.acted(event)
    if name is None or element.getAttribute("aria-disabled") == "true":
        return
    if name == "skip":
        event.preventDefault()  # its hash would lead to another screen
        dom.focus("main")
    else:
        _act(app, name, element)


def _act(app, name, element):
    first, _, rest = name.partition("-")
    if first in OF:
        OF[first](app, rest, element)
    elif name == "open":
        app.task(app.outbox.open(element.getAttribute("data-id")))
    elif name == "copy":
        app.task(app.outbox.copy(element.getAttribute("data-copy")))
    elif name == "undo":
        app.task(_form_of(app, element).undo())
    elif name == "keep-as-draft":
        _form_of(app, element).keep_as_draft()
    elif name in ACTS:
        ACTS[name](app)
    elif name in ASKS:
        app.task(app.outbox.ask(*ASKS[name]))


def _row(app, name, element):
    item = element.getAttribute("data-id")
    if name == "edit":
        app.task(app.attention.ask_edit(item))
    elif name == "discard":
        app.attention.ask_discard([item])
    elif name == "export":
        app.task(app.outbox.export(item))
    else:
        app.outbox.start(name, item)


def _note(app, name, element):
    app.notes.close(element.getAttribute("data-note"), acted=name == "act")


def _exported(app, name, element):
    app.task(app.outbox.exported(name, element.getAttribute("data-file")))


#: Acts that need nothing but the app.
ACTS = {
    "detail-close": lambda app: app.outbox.closed(),
    "ask-close": lambda app: app.asking.closed(),
    "select": lambda app: app.task(app.outbox.select()),
    "left-read": lambda app: app.outbox.left_read(),
    "sync": lambda app: app.task(app.outbox.sync()),
    "more": lambda app: app.task(app.outbox.more()),
    "more-attention": lambda app: app.task(app.attention.more()),
    "kept-rescue": lambda app: app.kept().ask(),
    "kept-try": lambda app: app.try_kept(),
    "loss-seen": lambda app: app.loss_seen(),
    "retry-all": lambda app: app.attention.retry_all(),
    "retry-lost": lambda app: app.attention.retry_all(lost=True),
}
#: act -> (method of the engine, what is said, arguments)
ASKS = {
    "pause": ("pause", "Paused"),
    "resume": ("resume", "Resumed"),
}


def _file(app, name, element):
    identity = element.getAttribute("data-file")
    files = app.forms["ticket"].files
    if name == "original":
        files.use_original(identity)
        return
    removed = files.remove(identity)
    if removed is None:
        return
    one, place = removed
    if one["state"] == "refused":
        return
    app.notes.add(
        "Removed " + one["name"],
        "info",
        "Undo",
        lambda: files.put_back(one, place),
        lambda: files.forget(one),
    )
    dom.focus("attachments")


#: Acts by the first word of their names: (app, the rest of the name, the button).
OF = {
    "row": _row,
    "file": _file,
    "note": _note,
    "export": _exported,
    "chosen": lambda app, name, _element: app.outbox.chosen(name),
    "test": lambda app, _name, element: app.destinations.act(
        "test", element.getAttribute("data-name")
    ),
    "dry": lambda app, _name, element: app.destinations.act(
        "dry", element.getAttribute("data-name")
    ),
    "device": lambda app, name, element: app.devices.act(name, element.getAttribute("data-id")),
    "many": lambda app, name, _element: app.attention.many(name),
    "account": lambda app, name, element: app.accounts.act(name, element.getAttribute("data-lane")),
    "server": lambda app, name, element: app.settings.ask_server(
        name, element.getAttribute("data-lane")
    ),
}
