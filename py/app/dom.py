"""The one file that touches the document. Everything above it works on plain values.

Three rules of MicroPython in a browser hold here (each was measured):
an exception that JavaScript throws *synchronously* is not catchable and ends the interpreter, so
only calls that cannot throw are made, and what may fail goes through a promise; integers cross as
32 bits, so times and sizes cross as JSON text or floats; listeners live as long as the app, one
delegated listener for each type of event, so no callback is ever left over.
"""

import json

import js
from jsffi import to_js

from app import element, patch

document = js.document
window = js.window

_SVG = "http://www.w3.org/2000/svg"
_TIME_MAX = 8640000000000000  # a Date beyond this throws


class Host:
    """`patch` speaks to the document through this."""

    def element(self, tag):
        if tag in ("svg", "use"):
            return document.createElementNS(_SVG, tag)
        return document.createElement(tag)

    def text(self, text):
        return document.createTextNode(text)

    def retext(self, ref, text):
        ref.data = text

    def set(self, ref, name, value):
        if name == "at":
            self._time(ref, value)
        elif name == "selected":
            ref.selected = True  # the attribute would become what a reset returns to
        elif name == "checked":
            ref.checked = True  # the attribute says nothing once somebody has clicked
        else:
            ref.setAttribute(name, "" if value is True else str(value))

    def _time(self, ref, at):
        if at is None or abs(at) > _TIME_MAX:
            return
        date = js.Date.new(float(at))
        ref.setAttribute("datetime", date.toISOString())
        ref.setAttribute("title", date.toLocaleString())

    def drop(self, ref, name):
        if name == "checked":
            ref.checked = False
        else:
            ref.removeAttribute(name)

    def insert(self, parent, ref, before):
        parent.insertBefore(ref, before)

    def remove(self, parent, ref):
        parent.removeChild(ref)


_host = Host()
_slots = {}
_through = []


def through(change):
    """Have every tree pass through this before it is shown; None: not shown."""
    _through.append(change)


def show(slot, trees):
    """Make the element with this id show these trees."""
    known = _slots.get(slot)
    if known is None:
        ref = document.getElementById(slot)
        ref.replaceChildren()  # what stood there before the app came up
        known = _slots[slot] = [ref, []]
    trees = element.flat(trees)
    for change in _through:
        trees = element.flat([change(tree) for tree in trees])
    known[1] = patch.update(_host, known[0], known[1], trees)


def by_id(name):
    return document.getElementById(name)


def listen(kind, handler, capture=False):
    """One listener for this type of event, for the life of the app."""
    document.addEventListener(kind, handler, capture)


def listen_window(kind, handler):
    window.addEventListener(kind, handler)


def acted(event):
    """(name, element) of the act an event is about; (None, None) when it is about none."""
    target = event.target
    if getattr(target, "closest", None) is None:
        return (None, None)
    element = target.closest("[data-act]")
    return (None, None) if element is None else (element.getAttribute("data-act"), element)


def reveal(name, visible):
    by_id(name).hidden = not visible


def is_shown(name):
    """Neither it nor anything around it is hidden."""
    return by_id(name).closest("[hidden]") is None


def focus(name):
    element = by_id(name)
    if element is not None:
        element.focus()


def set_attribute(name, attribute, value):
    """``None`` takes the attribute away."""
    element = by_id(name)
    if value is None:
        element.removeAttribute(attribute)
    else:
        element.setAttribute(attribute, value)


def mark_all(selector, attribute, chosen):
    """Set ``attribute`` to "page" on the link whose hash is ``chosen``, drop it from the rest."""
    links = document.querySelectorAll(selector)
    for index in range(links.length):
        link = links.item(index)
        if link.getAttribute("href") == chosen:
            link.setAttribute(attribute, "page")
        else:
            link.removeAttribute(attribute)


# Forms


def values(form):
    """The values of a form, by name: one crossing."""
    entries = js.Object.fromEntries(js.FormData.new(by_id(form)))
    return json.loads(js.JSON.stringify(entries))


def fill(form, wanted, only_empty=False):
    """Put values into a form; with ``only_empty`` never over something that is there already."""
    elements = by_id(form).elements
    for name in wanted:
        field = elements.namedItem(name)
        if field is None or (only_empty and getattr(field, "value", "")):
            continue
        field.value = wanted[name]


def clear(form, saved, stays=None):
    """Empty the form; what was typed since it was read as ``saved`` stays, and so does the field
    named ``stays``."""
    now = values(form)
    newer = {name: now[name] for name in now if now[name] != saved.get(name) or name == stays}
    by_id(form).reset()
    fill(form, newer)


def field_error(form, name, text):
    """Tie the message of a field to it: said when the field is reached, and seen beside it."""
    fields = by_id(form).querySelectorAll(f'[name="{name}"]')
    for index in range(fields.length):
        field = fields.item(index)
        if text:
            field.setAttribute("aria-invalid", "true")
        else:
            field.removeAttribute("aria-invalid")


def focus_field(form, name):
    field = by_id(form).querySelector(f'[name="{name}"]')
    if field is not None:
        field.focus()


# Files


def file_list(files):
    """The JS files of an input, a drop or a paste, as a Python list."""
    return [files.item(index) for index in range(files.length)]


def file_facts(file):
    """Name, type and size; as text, because a size may not fit into 32 bits."""
    return json.loads(js.JSON.stringify(file, to_js(["name", "type", "size"])))


def transfer_files(transfer):
    """The files in a drop or a paste (None where the event carries nothing)."""
    return [] if transfer is None else file_list(transfer.files)


def reset_input(name):
    by_id(name).value = ""


def revoke(url):
    js.URL.revokeObjectURL(url)


def download(url, name):
    link = document.createElement("a")
    link.href = url
    link.download = name
    link.click()


# Dialogs


def open_dialog(name):
    dialog = by_id(name)
    if not dialog.open:
        dialog.showModal()


def close_dialog(name):
    dialog = by_id(name)
    if dialog.open:
        dialog.close()


# The window around it


def location_hash():
    return window.location.hash


def go(where):
    window.location.hash = where


def home():
    """The app's own address, without what follows it."""
    return js.URL.new("./", js.location.href.split("?")[0].split("#")[0]).href


def leave_for(url):
    js.location.assign(url)


def take_answer(names=("code", "state", "error", "error_description")):
    """What a sign-in elsewhere wrote into the address that the person came back to, which is then
    the app's own again; None where there is nothing."""
    asked = js.URLSearchParams.new(js.location.search)
    if not (asked.has("code") or asked.has("error")):
        return None
    js.history.replaceState(None, "", home() + "#settings")
    return {name: asked.get(name) for name in names if asked.has(name)}


def online():
    return window.navigator.onLine is not False


def visible():
    return document.visibilityState != "hidden"


def reload():
    window.location.reload()


def saved_early(form):
    """Whether Save was chosen before the app came up (static/early.js keeps it)."""
    return by_id(form).getAttribute("data-early") == "save"


def ready():
    """From here on the page reacts; tests and the style sheet look at this."""
    document.documentElement.setAttribute("data-app", "ready")
