"""Who changes a registry, and why, as its records keep it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Actor:
    """A person, or a part of the system that acts on its own.

    `authenticated`: a token authenticated the name; otherwise it is a claim.
    """

    name: str
    reason: str = ""
    authenticated: bool = False
