"""Importers of other programs' checkpoints of StyleGANs."""
