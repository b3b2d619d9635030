"""Load for HTTP servers on this machine: clients that cost less than what they measure.

Each module runs as a process of its own, takes one job as JSON from its standard input and prints
one result as JSON. They know as much of HTTP as the answers of uvicorn need, and nothing else of
ours: the same job is given to Sandlot and to the floor.
"""
