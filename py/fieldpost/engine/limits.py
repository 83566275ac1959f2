"""Every bound, with its reason. Units stand last in the names."""

from __future__ import annotations

PRIORITY_MIN, PRIORITY_MAX = 1, 10

#: One row's payload; more belongs into an attachment. Rows are rewritten on each state change.
PAYLOAD_BYTES_MAX = 256 * 1024
#: What a list shows of one row; small, because a page of heads is opened for every repaint.
HEAD_BYTES_MAX = 256
#: Attempts kept in a row's sealed history (oldest dropped); older ones remain in the journal.
HISTORY_ATTEMPTS_MAX = 20
#: Texts over this are deflated before sealing, and kept so only if that is smaller (U12).
COMPRESS_FROM_BYTES = 1024

#: One sealed chunk of an attachment: small enough for a slow line to finish, large enough that a
#: 90 MB file is 90 requests.
PART_BYTES = 1024 * 1024
ATTACHMENT_BYTES_MAX = 100_000_000
ATTACHMENTS_PER_ITEM_MAX = 20

#: Undelivered items; proved further by what the storage really takes.
OPEN_ITEMS_MAX = 100_000

#: Items per request: REQUIREMENTS part 3 caps a batch at 100.
BATCH_ITEMS_MAX = 100
#: Bytes of operations in one request; the gateway refuses more than 4 MiB.
BATCH_BYTES_MAX = 2 * 1024 * 1024

#: How long a claim holds before others may take the row over.
LEASE_MS = 60_000
REQUEST_TIMEOUT_MS = 30_000
#: A sender alive within its lease must have had its timeout before the lease ends.
assert REQUEST_TIMEOUT_MS < LEASE_MS

#: How long a context asks for the drain lock before it leaves the work to the holder.
LOCK_WAIT_MS = 2_000
#: A frozen drain lock holder is replaced after its beat stood still for this long.
STEAL_AFTER_MS = 30_000
BEAT_EVERY_MS = 5_000
SYNC_EVERY_MS = 30_000

#: Attachment bytes nobody refers to are collected after this; a draft may still be picking them up.
ORPHAN_AGE_MS = 24 * 3600 * 1000
