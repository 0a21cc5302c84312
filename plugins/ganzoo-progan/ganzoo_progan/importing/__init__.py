"""Importers of other programs' checkpoints of ProGAN."""
