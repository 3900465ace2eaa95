"""The papers' trainings as data, and as jobs of ours as far as ours can say them."""

from .loading import Recipe, Setting, get, job, limits, recipes

__all__ = ["Recipe", "Setting", "get", "job", "limits", "recipes"]
