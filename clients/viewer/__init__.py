"""The pygame viewer: one composer that feeds both the window and the video."""

import os

# pygame greets on stdout, where `--json` promises one line of JSON and nothing else.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
