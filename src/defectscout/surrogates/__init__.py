"""One Protocol; one small adapter for each model family."""
