"""CARLA's msgpack-RPC and sensor-stream formats as pure codecs."""
