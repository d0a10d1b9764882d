"""Weights that ship with the project, each with its model card beside it."""
