"""The vocabulary: small frozen dataclasses, units, errors. No science."""
