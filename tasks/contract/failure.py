"""A check of a model's contract that does not hold."""


class CheckFailed(Exception):
    """What is wrong, and what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy
