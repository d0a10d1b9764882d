"""Edits of label maps on their way to the generator: what was a building is a wood, what was a car is road."""
