"""Datasets of relaxations, and surrogates that are fine-tuned on them."""
