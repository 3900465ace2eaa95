"""Trains the networks of a quality run side by side, and writes each result as it ends: datasets,
the loop, what a training is judged by, its workers, and MLflow.
"""
