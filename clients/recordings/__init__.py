"""Recordings from the command line's view: made by a drive, rendered again, replayed and exported."""
