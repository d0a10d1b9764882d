"""Training of the networks that find the classes of pictures again."""
