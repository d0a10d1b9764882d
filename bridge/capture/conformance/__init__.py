"""Does a server do what CARLA's client library expects? Checks of each call through the wheel, for any CARLA server.

`runner` runs the groups of checks in child processes, because a server that answers wrongly can end the process of its
client, and puts the server back into the state in which it was found, whatever happened. `stage` is what a check works
with; every other module is a group of checks.
"""
