"""Training quality: how good a network each loss trains."""
