"""Searches in every supercell of an alloy, as one study."""
