"""Processes that tests start: compiled as quickly as here, and on as many devices as they need."""

import os


def environment(devices: int = 1, **changed: str) -> dict[str, str]:
    """The variables of a process that is to see so many devices."""
    flags = [flag for flag in os.environ["XLA_FLAGS"].split() if "device_count" not in flag]
    if devices > 1:
        flags.append(f"--xla_force_host_platform_device_count={devices}")
    return {**os.environ, "XLA_FLAGS": " ".join(flags), **changed}
