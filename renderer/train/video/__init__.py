"""Training of the family "vid2vid" on sequences of pictures with label maps (Wang et al. 2018)."""
