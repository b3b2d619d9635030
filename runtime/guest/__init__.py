"""The program inside a sandbox: a supervisor that reasons, and hands that act, apart by user id."""
