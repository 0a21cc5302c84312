"""Other programs' checkpoints of these families, converted."""
