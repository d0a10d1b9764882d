"""The pygame viewer: one composer that feeds both the window and the video."""
