"""The one exception of the endpoint: what it answers when it does not answer."""

# Codes of gRPC, by name, and the HTTP status that TensorFlow Serving gives each of them.
HTTP_STATUS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 503,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


class ServingError(Exception):
    """A fault with its gRPC code and the words for the caller.

    Attributes:
      code: a key of `HTTP_STATUS`.
      message: one or more sentences, those of TensorFlow Serving where it knows the fault.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """Of the same fault over REST."""
        return HTTP_STATUS[self.code]


def shortened(text: str, limit: int) -> str:
    """A text of at most so many bytes of UTF-8, and a mark where it was longer."""
    coded = text[: limit + 1].encode("utf-8", "surrogateescape")
    if len(coded) <= limit:
        return text
    return coded[:limit].decode("utf-8", "ignore") + "...TRUNCATED"


def invalid(message: str) -> ServingError:
    """INVALID_ARGUMENT, the fault of most requests."""
    return ServingError("INVALID_ARGUMENT", message)
