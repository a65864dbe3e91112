"""The one error that the review page answers with a status and a line for the user."""


class Refused(Exception):
    """A request that cannot be served.

    Parameters
    ----------
    status : int
        HTTP status.
    message : str
        One line: what is wrong and what to do.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
