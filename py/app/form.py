"""One capture form: its draft, its checks, and Save, which never waits for the engine."""

import asyncio

from app import device, dom, model
from app.destined import Destined
from app.device import DeviceError
from app.engine_client import EngineError
from app.files import Files
from app.held import Held
from app.views import capture as view

AUTOSAVE_MS = 400


class Form(Held, Destined):
    """The form ``kind`` of index.html (ids start with its name)."""

    def __init__(self, app, kind):
        self.kind = kind
        self.phase = "idle"
        self._app = app
        self._message = ""
        self._errors = {}
        self._undo = None
        #: What could not be saved for want of room and saves itself: {id, at, code, text}. Its id
        #: stays, so that it is saved once however often it is tried.
        self.held = None
        self._slot = None  # the draft's name, once known
        #: The id of what this tab holds unsaved (`app.kept`), while its draft is still stored.
        self._draft_of = None
        self._draft_kept = False
        self._changes = 0  # counts what is typed; a draft is current when it has seen the last
        self._kept_changes = 0
        self._autosaving = False
        self._draft_lock = asyncio.Lock()  # a draft must not land after its capture
        self._begin()
        self.files = Files(app, self, self._files_changed)

    # Showing

    def show(self):
        shown = {
            "files": self.files.items,
            "phase": self.phase,
            "message": self._message,
            "errors": self._errors,
            "undo": self._undo is not None,
            "draft_kept": self._draft_kept,
            "draft_old": self._kept_changes != self._changes,
            "limits": self.limits(),
        }
        self._app.state["held"][self.kind] = self.phase == "held"
        dom.show(self.kind + "-note", view.save_note(shown))
        if self.kind == "ticket":
            dom.show("ticket-files", view.attachments(shown))
        waits = self.phase == "saving" or model.why_not_save(self.files.items) is not None
        dom.set_attribute(self.kind + "-save", "aria-disabled", "true" if waits else None)

    def left(self):
        """Another screen is shown: what was said about the last save is over, and its Undo."""
        if self.phase in ("saved", "kept"):
            self.phase, self._undo = "idle", None
            self.show()

    def _files_changed(self, stored=False):
        if stored:
            self.changed()
        self.show()

    # Drafts

    async def restore(self):
        """Bring back what was typed before; never over, or into, what is being saved now."""
        async with self._draft_lock:
            try:
                self._slot = model.draft_name(self.kind, self._app.tab)
                draft = await self._app.device.load_draft(self._slot)
                requester = await self._app.device.load_draft("requester") or {}
            except DeviceError as error:
                self._app.storage_problem(error)
                return
            if draft:
                self._fill(draft["values"], only_empty=True)
                self._draft_kept = True
                self._undo = None  # it would overwrite the draft
                self._holding(draft.get("held"))
        if draft:
            await self.files.restore(draft.get("files") or [])
        self._fill_requester(requester)
        self.show()

    def _fill_requester(self, requester):
        mine = model.REQUESTER[self.kind]
        wanted = {
            "user.name": requester.get("name"),
            "userName": requester.get("name"),
            "user.email": requester.get("email"),
        }
        dom.fill(self.kind, {name: wanted[name] or "" for name in mine}, only_empty=True)

    def changed(self):
        """Something was typed or chosen: keep it soon."""
        values = self.values()
        moved = self._follow(values)
        if self.phase in ("saved", "kept") and not self.blank(values):
            self.phase, self._undo = "idle", None  # Undo would overwrite what is typed now
        if self.phase == "failed":
            self.phase = "idle"
        if self._errors or moved:
            self._check(self.values(), filled=not self._errors)
            self.show()
        self._keep_soon()

    def _keep_soon(self):
        current = self._draft_kept and self._kept_changes == self._changes
        self._changes += 1
        if current:
            self.show()  # what is kept is not what stands there
        if not self._autosaving:
            self._autosaving = True
            self._app.task(self._autosave())

    async def _autosave(self):
        """Write once the typing rests."""
        seen = None
        while seen != self._changes:
            seen = self._changes
            await asyncio.sleep_ms(AUTOSAVE_MS)
        self._autosaving = False
        await self.keep()

    async def keep(self):
        """Write the draft now, if it is not current."""
        async with self._draft_lock:
            if self._slot is None or self._kept_changes == self._changes:
                return
            seen = self._changes
            values = self.values()
            try:
                if self.blank(values) and not self.files.items:
                    self._let_go()
                    if self._draft_of is None:
                        await self._app.device.drop_draft(self._slot)
                    self._draft_kept = False
                else:
                    draft = model.draft(values, self.files.items, self.held)
                    await self._app.device.save_draft(self._slot, draft)
                    self._draft_kept, self._draft_of = True, None
            except DeviceError as error:
                self._draft_kept = False
                self._app.storage_problem(error)
                return
            self._kept_changes = seen
        self._app.storage_works()
        self.show()

    def unsaved(self):
        """What stands in the form is not kept as a draft."""
        return self._kept_changes != self._changes and not self.blank(self.values())

    # Saving

    async def save_early(self):
        """Save was chosen before the app was up: what stood in the form then, once its files are
        stored; nothing of a draft that is found meanwhile."""
        values, files = self.values(), list(self.files.items)
        self.phase = "saving"
        self.show()
        await self.files.settled()
        self.phase = "idle"
        await self._save(values, files, None)

    def save(self):
        """From the click to "Saved on this device"; until then the form keeps everything. To be
        awaited: what is saved is what stood there when this was called."""
        return self._save(self.values(), list(self.files.items), self._slot)

    async def _save(self, values, files, slot, by_itself=False):
        """``slot``: the draft that this was, which goes with it."""
        if self.phase == "saving" or model.why_not_save(files):
            self.show()
            return
        if not self._app.known.is_set():  # what the destination asks for lies in the storage
            self.phase = "saving"
            self.show()
            await self._app.known.wait()
        values["destination"] = self.meant(values)
        self._check(values)
        if self._errors:
            self.phase = "idle"
            self.show()
            dom.focus_field(self.kind, model.first_wrong(self.names(), self._errors))
            return
        self.phase = "saving"
        self._undo = None
        self.show()
        made = None
        try:
            async with self._draft_lock:
                await self._app.device.tried()
                known = self.held or {"id": device.uuid7(), "at": device.now()}
                facts, given = self._app.state["facts"], self._app.state["catalogue"]
                made = model.capture(
                    self.kind, known["id"], known["at"], values, files, facts, given
                )
                lack = model.full(self._app.state, self.kind)
                if lack is not None:
                    raise DeviceError("QUEUE_FULL", model.full_text(lack))
                if slot is not None and self._draft_of is None:
                    made["form"] = slot
                if self._app.state["kept"]:  # behind what waits for a storage that works
                    self._keep_in_tab(made, values, files)
                    return
                await self.files.store_kept(files)
                await self._app.device.capture(made)
        except DeviceError as error:
            if made is None or by_itself or not model.storage_fails(error.code):
                await self._not_saved(error, made)
            else:
                self._keep_in_tab(made, values, files, error)
            return
        self.held = None
        self._app.storage_works()
        self._saved(made["id"], values, files, by_itself)
        if by_itself:
            text = "There was room again: {} is saved on this device.".format(made["data"]["title"])
            self._app.notes.add(text, "good")

    # Kept in this tab only

    def _keep_in_tab(self, made, values, files, error=None):
        """The storage fails: this tab holds it, and the form is free for the next one."""
        made.pop("form", None)
        if self._slot is not None and self._draft_of is None:
            self._draft_of = made["id"]
        self.held = None
        self._emptied("kept", values, files)
        self._app.kept().add(self, made, files, error)
        self.show()
        dom.focus_field(self.kind, model.fields(self.kind)[0])

    async def write_kept(self, made):
        """Save what this tab held, and drop its draft if that is still stored."""
        async with self._draft_lock:
            mine = self._draft_of == made["id"]
            asked = dict(made)
            if mine:
                asked["form"] = self._slot
            await self._app.device.capture(asked)
            if mine:
                self._draft_of = None

    def written_back(self):
        if self.phase == "kept" and not any(i["form"] is self for i in self._app.state["kept"]):
            self.phase = "saved"
        self.show()

    def _saved(self, identity, values, files, by_itself):
        self._undo = {"id": identity, "values": values, "files": files}
        self._emptied("saved", values, files)
        for one in files:
            one["file"] = one["held"] = None  # it lies in the storage
        self.show()
        if not by_itself:  # nobody's hands are moved by what happens by itself
            dom.focus_field(self.kind, model.fields(self.kind)[0])
        self._app.task(self._after_save(self._requester(values)))

    def _emptied(self, phase, values, files):
        """The form is ready for the next one; what was typed since stays."""
        self.phase = phase
        self._draft_kept = False
        self._typed = {}
        dom.clear(self.kind, values, stays="destination")
        self._fill_requester(self._requester(values))
        self.files.captured(files)
        self._kept_changes = self._changes
        if self.files.items or not self.blank(self.values()):
            self._undo = None  # it would overwrite what somebody went on with meanwhile
            self._keep_soon()

    def _requester(self, values):
        name = values.get("user.name") or values.get("userName") or ""
        return {"name": name, "email": values.get("user.email") or ""}

    async def _after_save(self, requester):
        self._app.saved_something()
        if self.kind == "ticket":
            try:
                await self._app.device.save_draft("requester", requester)
            except DeviceError as error:
                self._app.storage_problem(error)
        await self._app.ask_to_persist()

    async def undo(self):
        """Take the last save back into the form, if nothing new was typed and it can be."""
        last, self._undo = self._undo, None
        if last is None:
            return
        files = last["files"]
        try:
            if not await self._app.device.undo_capture(last["id"]):
                await self._app.engine.call("cancel", {"id": last["id"], "reason": "undo"})
                files = []  # they belong to the cancelled item, which can still be restored
        except (DeviceError, EngineError) as error:
            self.phase, self._message = "saved", ""
            self.show()
            self._app.notes.add("It was too late to take it back. " + error.message, "bad")
            return
        self.phase = "idle"
        self._fill(last["values"])
        if files:
            await self.files.restore(files)
        elif last["files"]:
            self._app.notes.add("Taken back. Choose the attachments again.", "info")
        self.changed()
        self.show()
        dom.focus_field(self.kind, model.fields(self.kind)[0])
        self._app.refresh_soon()
