"""The files that an operator writes: agents and the configuration, read with positions."""
