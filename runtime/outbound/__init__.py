"""The one way out: which addresses may be dialled, and the door that looks up, checks and dials."""
