"""Trains the networks of a quality run side by side, and writes each result as it ends."""
