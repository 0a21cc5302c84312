"""Augmentations of what D sees: DiffAugment and ADA."""
