"""The browser of a sandbox: its tools, its tabs, and how pages are told to a model."""
