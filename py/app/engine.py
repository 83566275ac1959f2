"""The engine worker, whole: the library's own way to serve a page; this app adds nothing to it."""

from fieldpost import browser

call = await browser.serve(gateway="./", direct="./static/direct.json")  # noqa: F704, PLE1142 (PyScript runs workers' scripts as async)

__export__ = ["call"]
