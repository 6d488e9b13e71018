"""Who does something to a registry, and why, as its record keeps it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """A person, or a part of the system that acts by itself.

    `authenticated`: a token showed who it is; else the name is what somebody typed.
    """

    name: str
    reason: str = ""
    authenticated: bool = False
