"""Recordings: a drive's planes, poses, controls and pictures in a folder, so that it can be computed with again."""
