"""What an input that takes pictures declares beyond its shape."""

from typing import Literal

from overnight.store.values import Value

Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)


class Picture(Value):
    """How pictures of other sizes and transparent ones become rows of an input.

    `resize`: None takes pictures of exactly the shape of the input. "fit" scales the whole picture
    and fills the sides with `background`, "crop" cuts off what is too wide or too high, "stretch"
    changes its proportions. `background` is the red, green and blue, 0 to 255, behind transparent
    pixels; without it a picture with transparent pixels is refused, and sides are black.
    """

    resize: Literal["fit", "crop", "stretch"] | None = None
    background: Colour | None = None
