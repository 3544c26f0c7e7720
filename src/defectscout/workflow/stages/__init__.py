"""The stages of a search: each reads the record, does what is missing, and records it."""
