"""Distinct minima: fingerprints of the defect site, clustering, new bonds, symmetry."""
