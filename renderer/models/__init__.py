"""Generators, one module a family, and the registry that finds them by name."""
