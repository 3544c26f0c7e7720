"""The search: what to do next, what is recorded, resume."""
