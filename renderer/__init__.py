"""The inference server: label maps to synthesized frames, with temporal state."""
