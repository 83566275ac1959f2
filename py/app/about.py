"""The forms of the About screen: this device's token, and the rescue file out and in."""

from app import dom
from app.device import object_url
from app.engine_client import EngineError
from app.views import capture as view
from app.words import PASSPHRASE_MIN


class About:
    """Its forms; each tells beside its button how it went."""

    def __init__(self, app):
        self._app = app
        self._busy = False

    def _tell(self, form, text, wrong=False):
        said = view.error(text) if wrong else [text]
        dom.show(form + "-said", said)

    async def submit(self, form):
        if self._busy:
            return
        values = dom.values(form)
        phrase = values.get("passphrase") or ""
        self._busy = True
        dom.set_attribute(form + "-go", "aria-busy", "true")
        try:
            if form == "sign-in":
                await self._sign_in((values.get("token") or "").strip())
            elif form == "rescue-out":
                await self._export(phrase)
            else:
                await self._import(phrase)
        except EngineError as error:
            self._tell(form, (error.message + " " + error.todo).strip(), wrong=True)
        finally:
            self._busy = False
            dom.set_attribute(form + "-go", "aria-busy", None)

    async def _sign_in(self, token):
        if not token:
            self._tell("sign-in", "Enter the token that the gateway printed.", wrong=True)
            dom.focus_field("sign-in", "token")
            return
        await self._app.engine.call("sign_in", {"token": token})
        dom.reset_input("sign-in-token")
        self._tell("sign-in", "Kept on this device. The status line says if the server takes it.")
        self._app.refresh_soon()

    async def _export(self, phrase):
        if len(phrase) < PASSPHRASE_MIN:
            self._tell(
                "rescue-out",
                f"Use at least {PASSPHRASE_MIN} characters: without it nobody can open the "
                "file, with it everybody.",
                wrong=True,
            )
            dom.focus_field("rescue-out", "passphrase")
            return
        self._tell("rescue-out", "Sealing everything that waits…")
        told = await self._app.engine.call("rescue_out", {"passphrase": phrase})
        dom.download(told["url"], told["name"])
        self._tell(
            "rescue-out",
            "{} in {}. Keep the passphrase apart from the file.".format(
                told["items"], told["name"]
            ),
        )

    async def _import(self, phrase):
        files = dom.file_list(dom.by_id("rescue-file").files)
        if not files:
            self._tell("rescue-in", "Choose a rescue file.", wrong=True)
            dom.focus("rescue-file")
            return
        self._tell("rescue-in", "Reading the file…")
        url = object_url(files[0])
        try:
            told = await self._app.engine.call("rescue_in", {"passphrase": phrase, "url": url})
        finally:
            dom.revoke(url)
        self._tell(
            "rescue-in", "{} added, {} were here already.".format(told["added"], told["known"])
        )
        self._app.refresh_soon()
