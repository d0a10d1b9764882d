"""What flows between simulator, bridge, renderer and viewer: frames, label spaces, messages, wire format, errors."""
