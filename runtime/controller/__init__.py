"""The use cases: interactions, environments, agents, and what runs them."""
