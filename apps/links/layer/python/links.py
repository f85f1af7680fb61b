"""What a short link is: which addresses it may point to, what its name may look like, how long it
lives.

Shared by both functions as a layer; ``links/index.mjs`` beside it says the same for Node.js.
"""

import ipaddress
import re
import secrets
import time
from urllib.parse import urlsplit

URL_LENGTH_MAX = 2048
EXPIRY_SECONDS_MAX = 10 * 365 * 86400
ALPHABET = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
ID_LENGTH = 7
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,31}")
RESERVED = {"shorten", "stats", "api", "admin"}
INTERNAL_ENDINGS = (".localhost", ".local", ".internal", ".home.arpa", ".lan")
NUMBERS = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+))*")


class Refused(ValueError):
    """What the caller sent cannot become a link; the text tells them why."""


def check_url(text):
    """The URL, if a stranger may be sent there; ``Refused`` otherwise."""
    if not isinstance(text, str) or not text.strip():
        raise Refused("urlToShorten is missing")
    text = text.strip()
    if len(text) > URL_LENGTH_MAX:
        raise Refused(f"the URL is longer than {URL_LENGTH_MAX} characters")
    if re.search(r"[\x00-\x20\x7f\\]", text):
        raise Refused("the URL contains spaces, backslashes or control characters")
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").rstrip(".").lower()
        parts.port  # noqa: B018  (raises for a port that is no number)
    except ValueError:
        raise Refused("this is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise Refused("only http and https URLs can be shortened")
    if not host:
        raise Refused("the URL names no host")
    if parts.username or parts.password:
        raise Refused("the URL must not contain a user name or password")
    if _internal(host):
        raise Refused("internal addresses cannot be shortened")
    return text


def _internal(host):
    if any(host == name.lstrip(".") or host.endswith(name) for name in INTERNAL_ENDINGS):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A name without a dot, or an address in disguise (2130706433, 0x7f.1), is never public.
        return "." not in host or NUMBERS.fullmatch(host) is not None
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_global


def check_alias(text):
    """The name the caller wants for the link, or None; ``Refused`` when it cannot be one."""
    if text is None or text == "":
        return None
    if not isinstance(text, str) or not ALIAS.fullmatch(text) or text.lower() in RESERVED:
        raise Refused("an alias has 3 to 32 letters, digits, - or _")
    return text


def check_expiry(seconds, now=None):
    """Epoch seconds at which the link ends, or None for never."""
    if seconds is None or seconds == "":
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise Refused("expiresInSeconds is a number")
    if not 1 <= seconds <= EXPIRY_SECONDS_MAX:
        raise Refused(f"expiresInSeconds is between 1 and {EXPIRY_SECONDS_MAX}")
    return int((now or time.time()) + seconds)


def new_id():
    """A fresh random name: 7 of 56 characters that do not look alike."""
    return "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))
