"""Capture from any CARLA server: the only package that imports `carla`."""
