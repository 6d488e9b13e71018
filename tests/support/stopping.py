"""Stops the servers of tests."""

import subprocess


def stop_process(process: "subprocess.Popen[bytes]", *, seconds: float = 30) -> None:
    """Send SIGTERM, and SIGKILL after `seconds`, so that no process outlives its test."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
