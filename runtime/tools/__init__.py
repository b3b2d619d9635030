"""Tools that the controller runs for a guest."""
