"""The one exception, and which of its codes the failure policy answers."""

from __future__ import annotations

# The daemon did not answer, or said that it cannot now: nothing is wrong with the request.
UNANSWERED = frozenset(
    {"timed_out", "unreachable", "overloaded", "draining", "internal", "expired"}
)


class AdderError(Exception):
    """A refusal of the daemon, or the client's own failure.

    ``code`` is the daemon's (bad_message, bad_request, unknown_model, bad_dimension, bad_class,
    not_finite, too_large, overloaded, draining, internal, expired; after any of them nothing was
    changed there) or the client's: timed_out, unreachable, bad_reply, closed. The text is one line:
    which field, what was expected, what came. ``retry_after_ms``, of overloaded: when the daemon
    expects room for more; else None.
    """

    def __init__(self, code: str, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.retry_after_ms = retry_after_ms
        self.code = code
        self.message = message
