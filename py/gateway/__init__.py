"""The server beside the app: it serves the built page and takes in what devices deliver.

`cli` starts it, `gateway.Gateway` is the composition root, `app` the routes, `intake` the rules of
the ledger (DESIGN section 7). The wire is docs/formats.md section 6.
"""
