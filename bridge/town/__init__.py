"""The town: an embedded street simulator that speaks CARLA's own wire protocol."""
