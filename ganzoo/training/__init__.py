"""Training: recipe, losses, the step that a loss is handed, trainer, checkpoints and observers."""
