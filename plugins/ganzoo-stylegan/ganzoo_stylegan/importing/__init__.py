"""Importers of other programs' style-based networks."""
