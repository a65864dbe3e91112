"""The page for whoever has a link and no session: takes the token, and goes on to where the link leads."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; display: grid; place-content: center; min-height: 90vh; margin: 0 16px }
form { display: grid; gap: 10px; max-width: 26rem }
h1 { font-size: 20px; margin: 0 }
p { margin: 0 }
input, button { font: inherit; padding: 8px 10px; border-radius: 8px; border: 1px solid #76808c }
button { background: #0a58ca; color: #fff; border-color: #0a58ca; cursor: pointer }
[role=alert] { font-weight: 600 }
"""
# The page holds no script and asks nobody else; its form leads back to this server.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
WRONG = "That is not the token of this page. A new one is printed whenever the page is started without one."


def sign_in_page(path: str, query: Iterable[tuple[str, str]], *, wrong: bool = False) -> str:
    """Return the page.

    Parameters
    ----------
    path : str
        Where the link leads on this server.
    query : iterable of (str, str)
        What the link says; a token in it is left out.
    wrong : bool
        Whether a token was given that is none.
    """
    kept = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in query
        if name != "token"
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Sign in</title><style>{STYLE}</style></head>
<body><main><form method="get" action="{escape(path)}"><h1>Sign in</h1>
{f'<p role="alert">{WRONG}</p>' if wrong else ""}
<p>This page opens with its token: the one behind <code>token=</code> in the link that was printed when it was started.
Ask whoever started it.</p>
<label for="token">Token</label>
<input id="token" name="token" type="password" required autofocus autocomplete="current-password">{kept}
<button>Go on</button></form></main></body></html>
"""
