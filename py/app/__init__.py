"""The page, on MicroPython. Its pure views and rules run on CPython too (tests/app)."""
