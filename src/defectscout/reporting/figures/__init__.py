"""Figures of analyses: one module for each."""
