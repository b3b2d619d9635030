"""The egress proxy: the only network of a sandbox, in a process of its own.

`proxy.py` is the controller's end: it starts the process, gives it a listening socket and rules per
environment, and reads its events. `python -m runtime.egress` is the process.
"""
