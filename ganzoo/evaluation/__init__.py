"""What a model is worth: metrics by protocol, audits, and the report."""
