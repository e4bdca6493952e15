"""A run as one page: config, curves, scores, mistakes and pictures."""
