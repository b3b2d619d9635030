"""The reasoning loop: call the model, run the tools it asks for, until it answers."""
