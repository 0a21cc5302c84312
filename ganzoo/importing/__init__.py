"""Other programs' checkpoints, read without running anything, into model folders."""
