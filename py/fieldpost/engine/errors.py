"""Every error Fieldpost raises, in one table.

The codes are API: programs match on them, the app and the gateway show the sentences. Each class's
docstring holds exactly two sentences: what happened, and what to do. The nine ``QUEUE_*`` codes of
the ITSM source document come first; later ones follow the same form.
"""

from __future__ import annotations


class QueueError(Exception):
    """The queue could not do what was asked. Look at the code and the message for the reason."""

    code = "QUEUE_ERROR"

    def __init__(self, message: str = "", *, fields: dict[str, str] | None = None) -> None:
        what, todo = split_sentences(type(self).__doc__ or "")
        super().__init__(message or what)
        self.message = message or what
        self.todo = todo
        #: Field name -> what is wrong with it, for errors a form can show beside the field.
        self.fields = fields or {}

    def as_dict(self) -> dict[str, object]:
        """The error as it crosses a boundary (worker, wire): code, message, todo, fields."""
        return {
            "code": self.code,
            "message": self.message,
            "todo": self.todo,
            "fields": self.fields,
        }


def split_sentences(doc: str) -> tuple[str, str]:
    """Split a two-sentence docstring into (what happened, what to do)."""
    text = " ".join(doc.split())
    what, _, todo = text.partition(". ")
    return what + "." if todo else what, todo


class DatabaseError(QueueError):
    """The storage on this device did not take the change. Free some space or export a rescue file,
    then try again.
    """

    code = "QUEUE_DATABASE_ERROR"


class EncryptionError(QueueError):
    """The item could not be encrypted, so it was not stored. Reload the app; if it stays, export a
    rescue file.
    """

    code = "QUEUE_ENCRYPTION_ERROR"


class DecryptionError(QueueError):
    """A stored row does not open with its key, so it was set aside unchanged. Keep it and restore
    a backup or a rescue file.
    """

    code = "QUEUE_DECRYPTION_ERROR"


class QueueFull(QueueError):
    """The queue holds as many undelivered items as it may. Deliver or cancel some, then save
    again.
    """

    code = "QUEUE_FULL"

    def __init__(
        self,
        message: str = "",
        *,
        limit: str = "",
        used: int = 0,
        most: int = 0,
        unit: str = "items",
        adding: int = 1,
    ) -> None:
        """``limit``: the name of the limit that is reached, a kind or ``all``; ``used``, ``most``,
        ``adding`` (what was to come in) in ``unit``: items or bytes. `fields` says the same, and
        with ``free`` how much of it must be delivered or cancelled first (A61: a program need not
        look into the message)."""
        kind = "" if limit in ("", "all") else f" of the kind {limit}"
        said = (
            f"The items{kind} that wait to be sent here take {used:,} bytes of at most {most:,}."
            if unit == "bytes"
            else f"{used:,} items{kind} wait to be sent here, of at most {most:,}."
        )
        numbers = {"used": used, "most": most, "adding": adding}
        numbers["free"] = max(0, used + adding - most)
        fields = {"limit": limit, "unit": unit, **{name: str(n) for name, n in numbers.items()}}
        super().__init__(message or (said if limit else ""), fields=fields if limit else None)
        self.limit, self.used, self.most, self.unit = limit, used, most, unit


class ItemNotFound(QueueError):
    """There is no item with this id on this device. Check the id, or look in the list of sent
    items.
    """

    code = "QUEUE_ITEM_NOT_FOUND"


class InvalidItem(QueueError):
    """Something in the item is missing or not allowed. Correct the named fields and save again."""

    code = "QUEUE_INVALID_ITEM"


class MaxRetriesExceeded(QueueError):
    """The item was tried as often as its policy allows. Look at the last answer, then retry or
    discard it.
    """

    code = "QUEUE_MAX_RETRIES_EXCEEDED"


class SyncFailed(QueueError):
    """The server's answer was not what it should be, so nothing was taken as delivered. The items
    stay and are tried again.
    """

    code = "QUEUE_SYNC_FAILED"


class ConnectionFailed(QueueError):
    """The server could not be reached. Check the network and the proxy; the items stay and are
    tried again.
    """

    code = "QUEUE_CONNECTION_ERROR"


class IllegalTransition(QueueError):
    """The item cannot make this move from the state it is in. Look at its present state and choose
    another action.
    """

    code = "QUEUE_ILLEGAL_TRANSITION"


class StaleRevision(QueueError):
    """Somebody else changed the item in the meantime, so this change was not made. Load it again
    and repeat the action.
    """

    code = "QUEUE_STALE_REVISION"


class DuplicateItem(QueueError):
    """An item with the same key is already in the queue. Use the existing one."""

    code = "QUEUE_DUPLICATE"

    def __init__(self, existing_id: str) -> None:
        super().__init__()
        self.existing_id = existing_id


class StorageMissing(DatabaseError):
    """This browser gives the app no storage, as some private windows do. Open the app in a normal
    window.
    """

    code = "QUEUE_STORAGE_MISSING"


class StorageBlocked(DatabaseError):
    """Another tab holds an older version of the storage open. Close the other tabs of this app."""

    code = "QUEUE_STORAGE_BLOCKED"


class StorageFull(DatabaseError):
    """The storage of this device is full, so this was not saved. Free some space; what you typed
    is still here.
    """

    code = "QUEUE_STORAGE_FULL"


class InsecureContext(QueueError):
    """The page was not opened over a secure connection, so the browser offers no encryption. Open
    it with https, or on this computer as localhost.
    """

    code = "QUEUE_INSECURE_CONTEXT"


class SchemaTooNew(DatabaseError):
    """The storage was written by a newer version of the app. Reload the page to update; nothing is
    lost.
    """

    code = "QUEUE_SCHEMA_TOO_NEW"


class AttachmentTooLarge(QueueError):
    """The file is larger than an attachment may be. Choose a smaller file."""

    code = "QUEUE_ATTACHMENT_TOO_LARGE"


class AttachmentUnreadable(QueueError):
    """The file could not be read to its end; it may have been moved or changed. Choose it again."""

    code = "QUEUE_ATTACHMENT_UNREADABLE"


class OutcomeUnknown(QueueError):
    """It may or may not have arrived, and the destination cannot be asked. Look there, then say
    whether it arrived.
    """

    code = "QUEUE_OUTCOME_UNKNOWN"


class Doubled(QueueError):
    """The destination has this more than once, or may have. Look there, close all but the oldest,
    then retry or discard this entry.
    """

    code = "QUEUE_DOUBLED"


class RescueUnreadable(QueueError):
    """The rescue file does not open with this passphrase, or it is damaged. Check the passphrase
    and the file.
    """

    code = "QUEUE_RESCUE_UNREADABLE"


class ConfigError(QueueError):
    """A setting of the queue is not known or not allowed. Correct the named settings."""

    code = "QUEUE_CONFIG_ERROR"


class AdapterError(QueueError):
    """The adapter of a destination failed on what it was given, so this lane stands still. Nothing
    is lost; correct the adapter, and what was under way is tried again.
    """

    code = "QUEUE_ADAPTER_ERROR"


class UpdateRequired(QueueError):
    """The server speaks a newer protocol than this version of the app. Reload the page to update;
    the items stay.
    """

    code = "QUEUE_UPDATE_REQUIRED"


class SignInFailed(QueueError):
    """The sign-in came to nothing, and nothing was changed by it. Begin it again under Settings."""

    code = "QUEUE_SIGN_IN_FAILED"


class OtherAccount(SignInFailed):
    """Somebody else's items wait for this destination, so this sign-in was not kept. Sign in as the
    one who saved them, or cancel or discard them first.
    """

    code = "QUEUE_OTHER_ACCOUNT"


def _tree(cls: type[QueueError]) -> list[type[QueueError]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _tree(sub))]


#: code -> class, the whole table.
ERRORS: dict[str, type[QueueError]] = {cls.code: cls for cls in _tree(QueueError)}
