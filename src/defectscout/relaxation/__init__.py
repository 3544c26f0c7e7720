"""Relaxation with a surrogate, batched, and with a reference."""
