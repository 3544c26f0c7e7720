"""The learning loop: scout, ask the reference, tune the surrogate, scout again."""
