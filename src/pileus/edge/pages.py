"""The pages the edge shows in its own name."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pileus.services.call import HttpResponse

EMPTY = (
    "Make a distribution with <code>aws cloudfront create-distribution</code> or deploy an app;"
    " it then answers here at its domain name."
)
PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Pileus</title>
<meta name="viewport" content="width=device-width"><style>body{{font:16px/1.5 system-ui;margin:4rem
auto;max-width:40rem;padding:0 1rem}}</style></head><body><main><h1>{title}</h1>{text}</main>
</body></html>"""


def nothing(host: str) -> HttpResponse:
    """No distribution has this host."""
    text = f"<p>No distribution answers at <b>{escape(host)}</b>.</p>"
    return _page(404, "Nothing here", text)


def landing(addresses: Sequence[tuple[str, str]]) -> HttpResponse:
    """The bare address in development mode: (address, comment) of every distribution."""
    if not addresses:
        return _page(200, "Pileus is running", f"<p>{EMPTY}</p>")
    rows = "".join(
        f'<li><a href="{escape(address)}">{escape(address)}</a> {escape(comment)}</li>'
        for address, comment in addresses
    )
    return _page(200, "Pileus is running", f"<p>Distributions:</p><ul>{rows}</ul>")


def _page(status: int, title: str, text: str) -> HttpResponse:
    body = PAGE.format(title=title, text=text).encode()
    headers = [("content-type", "text/html; charset=utf-8"), ("cache-control", "no-store")]
    return HttpResponse(status, headers, body)
