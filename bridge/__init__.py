"""The bridge between a CARLA server and a neural renderer: protocol, capture, the town, and the frame loop."""
