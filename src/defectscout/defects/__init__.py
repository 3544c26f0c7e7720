"""Inequivalent defects, charge states, excess charge."""
