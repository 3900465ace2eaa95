"""What the records say: statistics, figures and pages. Reads records only; never needs torch."""
