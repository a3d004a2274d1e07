"""The protocol on plain numpy arrays."""
