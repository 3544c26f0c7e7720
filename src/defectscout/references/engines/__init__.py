"""DFT codes that relax a structure by themselves: from input files to output files."""
