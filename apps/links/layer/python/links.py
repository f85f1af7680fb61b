"""What a short link is: where it may point, what its name may look like, how long it lives.

Both functions share it as a layer. ``rules.json`` beside it holds the figures and lists;
``nodejs/links.mjs`` says the same for Node.js, and one table of cases tests both.
"""

import ipaddress
import json
import math
import re
import secrets
import time
import unicodedata
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

RULES = json.loads((Path(__file__).parents[1] / "rules.json").read_text())
NETWORKS = [ipaddress.ip_network(n) for n in RULES["internalNetworks"]]
PUBLIC_6 = ipaddress.ip_network(RULES["publicNetwork6"])


class Refused(ValueError):
    """What the caller sent cannot become a link; the text tells them why."""


def check_url(text):
    """The URL, if a stranger may be sent there; ``Refused`` otherwise."""
    if not isinstance(text, str) or not text.strip():
        raise Refused("urlToShorten is missing")
    text = text.strip()
    if len(text) > RULES["urlLengthMax"]:
        raise Refused(f"the URL is longer than {RULES['urlLengthMax']} characters")
    if re.search(r"[\x00-\x20\x7f\\]", text):
        raise Refused("the URL contains spaces, backslashes or control characters")
    if not re.match(r"https?:", text, re.IGNORECASE):
        raise Refused("only http and https URLs can be shortened")
    if not re.match(r"https?://[^/?#]", text, re.IGNORECASE):
        raise Refused("the URL names no host")
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (raises for a port that is no number)
    except ValueError:
        raise Refused("this is not a URL") from None
    if "@" in parts.netloc:
        raise Refused("the URL must not contain a user name or password")
    if internal(parts.netloc):
        raise Refused("internal addresses cannot be shortened")
    return text


def internal(authority):
    """Would a browser look for it inside somebody's network? ``Refused`` when it is no host."""
    if authority.startswith("["):
        match = re.fullmatch(r"\[([^\]%]*)\](?::[0-9]*)?", authority)
        try:
            address = ipaddress.IPv6Address(match[1] if match else "")
        except ValueError:
            raise Refused("this is not a URL") from None
        return address not in PUBLIC_6 or any(address in n for n in NETWORKS if n.version == 6)
    host = ascii_name(re.sub(r":[0-9]*\Z", "", authority)).removesuffix(".")
    labels = host.split(".")
    if "" in labels or not re.fullmatch(r"[a-z0-9._-]+", host):
        raise Refused("this is not a URL")
    if any(host == name or host.endswith("." + name) for name in RULES["internalNames"]):
        return True
    try:
        return any(ipaddress.IPv4Address(host) in n for n in NETWORKS if n.version == 4)
    except ValueError:
        # 2130706433, 0x7f.1 and 127.1 are addresses too; a name without a dot is a neighbour's.
        return len(labels) == 1 or re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]) is not None


def ascii_name(host):
    """``host`` as browsers look it up: ``LocalHost`` and ``ⓛocalhost`` are ``localhost``."""
    if host.isascii():
        return host.lower()
    if any(unicodedata.category(letter)[0] in "CZ" for letter in host):
        raise Refused("this is not a URL")
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        raise Refused("this is not a URL") from None


def in_ascii(url):
    """``url`` as it may stand in a header: host and path in another script as browsers send
    them."""
    parts = urlsplit(url)
    authority = parts.netloc
    if not authority.isascii():
        host, colon, port = authority.partition(":")
        authority = ascii_name(host) + colon + port
    whole = urlunsplit(parts._replace(netloc=authority))
    return quote(whole, safe="".join(map(chr, range(33, 127))))


def check_alias(text):
    """The name the caller wants for the link, or None; ``Refused`` when it cannot be one."""
    if text is None or text == "":
        return None
    if not is_name(text) or text.lower() in RULES["reserved"]:
        raise Refused(
            "an alias has 3 to 32 letters, digits, - or _, begins with a letter or digit,"
            " and is not a word the service needs"
        )
    return text


def is_name(text):
    """Can ``text`` be the name of a link?"""
    return isinstance(text, str) and re.fullmatch(RULES["alias"][1:-1], text) is not None


def check_expiry(seconds, now=None):
    """Epoch seconds at which the link ends, or None for never."""
    if seconds is None or seconds == "":
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise Refused("expiresInSeconds is a number")
    if not 1 <= seconds <= RULES["expirySecondsMax"]:
        raise Refused(f"expiresInSeconds is between 1 and {RULES['expirySecondsMax']}")
    return math.ceil((time.time() if now is None else now) + seconds)


def new_id():
    """A fresh random name: 7 of 56 characters that do not look alike."""
    return "".join(secrets.choice(RULES["alphabet"]) for _ in range(RULES["idLength"]))
