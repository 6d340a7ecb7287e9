"""The page at `/`: a small chat with the models that the server has.

Plain files, as the browser takes them: no build step, nothing from other hosts. They are public
also where the API asks for a key: the page asks its user for it, and shows nothing without.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Request, Response

# What a browser may do here: run and fetch what this server has, and no more. Text from a model
# can never become markup or code: trusted types forbid it to our own scripts, too.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",  # asked for again each time, answered with 304
}
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
PARTS = (
    "api.js",
    "chat.js",
    "icon.svg",
    "markdown.js",
    "settings.js",
    "speed.js",
    "style.css",
    "turns.js",
)

router = APIRouter(include_in_schema=False)


def _answer(name: str) -> Callable[[Request], Awaitable[Response]]:
    body = files("headrace.server.page").joinpath("assets", name).read_bytes()
    media_type = TYPES[name.rpartition(".")[2]]
    headers = HEADERS | {"ETag": f'"{sha256(body).hexdigest()[:32]}"'}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=media_type, headers=headers)

    return answer


router.add_api_route("/", _answer("index.html"), methods=["GET", "HEAD"])
for _name in PARTS:
    router.add_api_route(f"/page/{_name}", _answer(_name), methods=["GET", "HEAD"])
