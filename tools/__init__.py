"""Build scripts. Those that set things up need nothing but the standard library."""
