"""One Protocol; one small adapter for each engine."""
