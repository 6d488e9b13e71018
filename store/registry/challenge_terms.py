"""The terms of a challenge: how much traffic a challenger gets, and when it is withdrawn."""

from typing import Annotated, Literal

from pydantic import Field

from overnight.store.values import Value

Mode = Literal["shadow", "canary"]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
# A bound of 1 is never exceeded, which switches it off.
Bound = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Terms(Value):
    """What a challenger may do, and what it must keep to.

    In shadow, `share` of the requests are answered by it as well, never to be returned. As a
    canary it answers `share` of the clients, each always by the same version. `tolerance` holds
    for numbers that are no classes: they agree when they differ by at most `tolerance` times
    (1 + the champion's number).
    """

    mode: Mode
    share: Share = 0.1
    maximum_error_share: Bound = 0.01
    maximum_disagreement_share: Bound = 0.05
    maximum_slowdown: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    minimum_requests: Annotated[int, Field(ge=1, le=1_000_000_000)] = 200
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1
