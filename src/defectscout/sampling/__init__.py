"""Sampling structures: ShakeNBreak's, the dimer, every neighbour pair."""
