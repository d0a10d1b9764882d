"""What people run: the command line, the viewer and the recorder."""

import os

# pygame greets on stdout, where `--json` promises one line of JSON and nothing else.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
