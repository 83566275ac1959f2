"""A PyScript worker that does nothing, and says when it is up."""

import js

js.BroadcastChannel.new("bench").postMessage('{"ready": "plain"}')
