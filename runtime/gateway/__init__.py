"""All that a sandbox may talk to: a directory of unix sockets each, dialled from inside."""
