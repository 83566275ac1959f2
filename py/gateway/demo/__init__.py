"""What the queue is worth, seen in a minute: `make run DEMO=1`, or ``python -m gateway.demo``.

Everything is real but the systems behind the gateway, which are fakes with the traps of those they
stand for (`fieldpost.testing.vendors`), and the people, who are simulated. Nothing leaves this
computer, and nothing is kept when it ends.
"""
