"""What a model is worth, and what its images say."""
