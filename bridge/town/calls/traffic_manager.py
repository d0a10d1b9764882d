"""The town's telephone book of TrafficManagers: each runs inside the client that started it."""

from __future__ import annotations

from bridge.carla_wire import layouts
from bridge.town.calls.registry import Call, answers


@answers("is_traffic_manager_running", neutral=False)
def is_traffic_manager_running(call: Call, port: int) -> bool:
    """Whether some client runs a TrafficManager on a port."""
    return port in call.simulation.traffic_managers


@answers("get_traffic_manager_running", neutral=layouts.TrafficManagerAddress("", 0))
def get_traffic_manager_running(call: Call, port: int) -> layouts.TrafficManagerAddress:
    """Where the TrafficManager of a port listens; an empty host when there is none."""
    host = call.simulation.traffic_managers.get(port)
    return layouts.TrafficManagerAddress("", 0) if host is None else layouts.TrafficManagerAddress(host, port)


@answers("add_traffic_manager_running", neutral=False)
def add_traffic_manager_running(call: Call, address: layouts.TrafficManagerAddress) -> bool:
    """Enter a client's TrafficManager; false when the port is taken."""
    if address.port in call.simulation.traffic_managers:
        return False
    call.simulation.traffic_managers[address.port] = address.host
    call.connection.owns_traffic_manager(address.port)
    return True


@answers("destroy_traffic_manager", neutral=False)
def destroy_traffic_manager(call: Call, port: int) -> None:
    """Strike out the TrafficManager of a port."""
    call.simulation.traffic_managers.pop(port, None)
