"""The door to the network. Sandboxes of this version have none."""
