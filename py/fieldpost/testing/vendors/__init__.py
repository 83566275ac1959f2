"""Stateful fakes of the systems that Fieldpost delivers to, with their traps."""
