"""Read and check a host; supercells."""
