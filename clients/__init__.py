"""What people run: the command line, the viewer and the recorder."""
