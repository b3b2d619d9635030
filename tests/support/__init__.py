"""Fakes that several tests use."""
