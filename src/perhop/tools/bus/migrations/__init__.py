"""How the tables of :mod:`perhop.tools.bus.tables` came to be, one module a step."""
