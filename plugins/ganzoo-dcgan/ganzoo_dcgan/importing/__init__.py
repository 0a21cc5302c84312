"""Importers of other programs' DCGANs."""
