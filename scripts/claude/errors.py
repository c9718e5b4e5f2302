"""What the API's errors mean: which pass, which end the program, how long to wait, and how to say them in one line."""

OFFLINE = "teacher=phrasebook needs no key and no network"
ATTEMPTS = 5  # of one request


class Stop(Exception):
    """The API said something that no repetition mends; the message is the line for the user."""


def fatal(error, model):
    """One line for errors that no repetition mends; None for the others."""
    import anthropic

    text = " ".join(str(getattr(error, "message", error)).split())[:200]
    if isinstance(error, anthropic.AuthenticationError):
        return (
            "the API refuses ANTHROPIC_API_KEY (401); make a key at https://platform.claude.com and set it; " + OFFLINE
        )
    if isinstance(error, anthropic.PermissionDeniedError):
        return f"the key may not do this (403): {text}; {OFFLINE}"
    if isinstance(error, anthropic.NotFoundError):
        return f"the API does not know model {model} (404); set generate.claude.model="
    if isinstance(error, anthropic.BadRequestError) and "credit" in text.lower():
        return f"the account has no credit left: {text}; nothing is lost, the same command continues"
    return None


def pause(error, attempt, first):
    """Seconds before the next attempt: what the API asks for, otherwise first, 2 first, 4 first, ... up to 60."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return min(600.0, max(0.0, float(headers["retry-after"])))
    except (KeyError, TypeError, ValueError):
        return min(60.0, first * 2.0**attempt)


def passing(error):
    """Whether the same request may succeed later: no connection, 408, 409, 429 and everything from 500."""
    status = getattr(error, "status_code", None)
    return not isinstance(status, int) or status in (408, 409, 429) or status >= 500


def never_left(error):
    """Whether the request did not reach the API at all: name not resolved, connection refused."""
    return any(c in type(error.__cause__).__name__ for c in ("ConnectError", "ConnectTimeout"))


def transport_error():
    """The SDK's HTTP library raises this while a body is being read."""
    import httpx2

    return httpx2.HTTPError


def words(error):
    """An error in one line, for the user."""
    import anthropic

    if isinstance(error, anthropic.APITimeoutError):
        return "no reply in time"
    body = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, dict) else None
    text = inner.get("message") if isinstance(inner, dict) else None
    status = getattr(error, "status_code", None)
    cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) and error.__cause__ else error
    said = " ".join(str(text or getattr(cause, "message", None) or cause).split())[:200]
    return f"{status}: {said}" if status else said
