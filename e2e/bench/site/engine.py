"""As py/app/engine.py, and says when it is up."""

from fieldpost import browser

call = await browser.serve(gateway="./", name="bench-engine")  # noqa: F704, PLE1142

import js  # noqa: E402

js.BroadcastChannel.new("bench").postMessage('{"ready": "engine"}')

__export__ = ["call"]
