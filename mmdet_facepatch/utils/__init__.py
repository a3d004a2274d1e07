"""Files, digests, random states and checkpoints, without trust in their content."""
