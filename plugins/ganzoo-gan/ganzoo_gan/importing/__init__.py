"""Importers of other programs' plain networks."""
