"""Small pages for people who follow an address in a message: no script, nothing from elsewhere."""

import base64
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import HTMLResponse

STYLE = """\
:root{color-scheme:light dark;--ground:#f3f5f8;--card:#fff;--text:#1c2733;--soft:#5a6878;\
--line:#dde3ea;--accent:#1f6feb;--bad:#c62f2f}
@media (prefers-color-scheme:dark){:root{--ground:#11161d;--card:#1a212b;--text:#e6ebf1;\
--soft:#9aa7b5;--line:#2c3643;--accent:#3b82f6;--bad:#f07070}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,-apple-system,\
"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:34rem;margin:0 auto;padding:1rem}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.25rem;\
margin-top:1rem}
h1{font-size:1.25rem;line-height:1.3;margin:0 0 .25rem;overflow-wrap:anywhere}
p{margin:.5rem 0;overflow-wrap:anywhere}
.soft{color:var(--soft)}
.bad{color:var(--bad);font-weight:600}
dl{display:grid;grid-template-columns:minmax(5rem,auto) 1fr;gap:.25rem .75rem;margin:1rem 0 0;\
font-size:.9rem}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
label{display:block;font-size:.9rem;color:var(--soft);margin:1rem 0 .25rem}
input,select{width:100%;font:inherit;color:inherit;background:transparent;\
border:1px solid var(--line);border-radius:8px;padding:.6rem .75rem}
option{color:#1c2733;background:#fff}
button{width:100%;margin-top:1.25rem;font:inherit;font-weight:600;color:#fff;\
background:var(--accent);border:0;border-radius:8px;padding:.8rem}
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}
NOTE_MOST = 500


@dataclass(frozen=True, slots=True)
class Form:
    """One button, with a note and perhaps a choice.

    durations  (value, words) of which one is chosen; none: there is nothing to choose
    """

    button: str
    note: str
    durations: Sequence[tuple[str, str]] = ()


def page(
    status: int,
    title: str,
    text: str,
    *,
    facts: Sequence[tuple[str, str]] = (),
    warning: str = "",
    form: Form | None = None,
) -> HTMLResponse:
    """A page of plain texts, which may hold anything."""
    parts = [f"<h1>{html.escape(title)}</h1>", f'<p class="soft">{html.escape(text)}</p>']
    if warning:
        parts.append(f'<p class="bad">{html.escape(warning)}</p>')
    if facts:
        rows = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts
        )
        parts.append(f"<dl>{rows}</dl>")
    if form is not None:
        parts.append(_form(form))
    body = "\n".join(parts)
    whole = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main><section>\n{body}\n</section></main></body></html>\n"
    )
    headers = HEADERS | ({"Retry-After": "1"} if status == 503 else {})
    return HTMLResponse(whole.encode("utf-8", "replace"), status, headers=headers)


def _form(form: Form) -> str:
    parts = ['<form method="post">']
    if form.durations:
        options = "".join(
            f'<option value="{html.escape(value)}">{html.escape(words)}</option>'
            for value, words in form.durations
        )
        parts.append(f'<label for="for">For</label><select id="for" name="for">{options}</select>')
    parts.append(
        f'<label for="note">{html.escape(form.note)}</label>'
        f'<input id="note" name="note" maxlength="{NOTE_MOST}" autocomplete="off">'
        f"<button>{html.escape(form.button)}</button></form>"
    )
    return "".join(parts)
