"""The terms of a challenge: how much traffic a challenger gets, and when it is withdrawn."""

from typing import Annotated, Literal

from pydantic import Field

from overnight.store.values import Value

Mode = Literal["shadow", "canary"]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
# A bound of 1 is never exceeded, which switches it off.
Bound = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Terms(Value):
    """How much traffic a challenger gets, and the bounds beyond which it is withdrawn."""

    mode: Mode = Field(
        description="`shadow`: the challenger answers as well, and its answers are discarded. "
        "`canary`: it answers instead of the champion."
    )
    share: Share = Field(
        default=0.1,
        description="Share of the requests (shadow) or of the clients (canary); a client is "
        "always answered by the same version.",
    )
    maximum_error_share: Bound = Field(
        default=0.01,
        description="The challenger is withdrawn when requests show that more than this share of "
        "them fails; 1 switches the bound off.",
    )
    maximum_disagreement_share: Bound = Field(
        default=0.05,
        description="The challenger is withdrawn when requests show that more than this share of "
        "compared answers differs from the champion's; 1 switches the bound off.",
    )
    maximum_slowdown: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        default=2.0,
        description="The challenger is withdrawn when requests show that its CPU time is more than "
        "this many times the champion's, in the geometric mean.",
    )
    minimum_requests: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(
        default=200, description="No bound applies before so many requests were measured."
    )
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.1,
        description="Numbers other than classes agree when they differ by at most `tolerance` "
        "times (1 + the champion's number).",
    )
