"""How a test's server ends: politely where it can, and in any case."""

import subprocess


def stop_process(process: "subprocess.Popen[bytes]", *, seconds: float = 30) -> None:
    """Ask it to end, and end it when it has not in `seconds`: the next test is not to pay."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
