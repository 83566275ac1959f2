"""For pages: a queue in this worker, and one function for the page to call.

from fieldpost import browser
call = await browser.serve(gateway="https://post.example/")
__export__ = ["call"]
"""

from .hosts.browser.open import open_queue, serve

__all__ = ["open_queue", "serve"]
