"""The universal patch: how it starts, its files, and parts of it."""
