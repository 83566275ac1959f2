"""The library installed by micropip into a plain worker: a start without the snapshot."""

import fieldpost  # noqa: F401 - what is measured
import js

js.BroadcastChannel.new("bench").postMessage('{"ready": "packages"}')
