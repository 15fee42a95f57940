"""The report as one HTML page that needs nothing else: text escaped, pictures inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from detector.backtest import results

NOISIEST = 15

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--card:#fff;--page:#f3f5f8;--text:#1f2933;
--soft:#5f6c7b;--line:#dde3ea;--bar:#1d4f91;--bad:#c53030;--good:#0b7a50}
@media(prefers-color-scheme:dark){:root{--card:#161b22;--page:#0d1117;--text:#dfe6ee;
--soft:#94a1b2;--line:#2b333e;--bar:#79b8ff;--bad:#ff7b7b;--good:#45d19b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:18px;margin:36px 0 12px}
.soft{color:var(--soft);margin:0}
.note{border-left:3px solid var(--bad);padding:2px 12px;margin:16px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));
gap:12px;margin:24px 0 12px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 16px}.tile b{display:block;font-size:26px;line-height:1.2;
font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}
.card{padding:12px;margin:12px 0;overflow-x:auto}.card img{display:block;width:100%;height:auto}
.bad{color:var(--bad)}.good{color:var(--good)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th{text-align:right;color:var(--soft);font-weight:600;padding:6px 10px;white-space:nowrap}
td{text-align:right;padding:6px 10px;border-top:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere}
td.meter{width:24%;min-width:110px}td.meter i{display:block;height:10px;border-radius:5px;
background:var(--bar);min-width:3px}
footer{margin-top:40px;color:var(--soft);font-size:13px}
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as PNG, by name of its theme, and what it shows in words."""

    png: Mapping[str, bytes]
    text: str


def page_of(found: results.Backtest, overview: Picture, series: Sequence[Picture]) -> str:
    """The whole page."""
    subject = html.escape(found.subject)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Backtest of {subject}</title><style>{STYLE}</style></head><body><main>\n"
        + "\n".join(_parts(found, overview, series))
        + "\n</main></body></html>\n"
    )


def _parts(found: results.Backtest, overview: Picture, series: Sequence[Picture]) -> Iterator[str]:
    first = found.variants[0]
    yield f"<h1>Backtest of {html.escape(found.subject)}</h1>"
    yield (
        f'<p class="soft">{len(first.series)} series, {results.instant(found.start_ms)} to '
        f"{results.instant(found.end_ms)}; budget {html.escape(first.budget)}</p>"
    )
    yield from (f'<p class="note">{html.escape(note)}</p>' for note in found.notes)
    yield _tiles(first)
    yield _card(overview)
    if len(found.variants) > 1 or first.quality:
        yield "<h2>Configurations</h2>" + _variants(found.variants)
    noisiest = first.noisiest()
    if noisiest:
        yield "<h2>Noisiest series</h2>" + _noisiest(noisiest)
    if series:
        yield f"<h2>Series</h2>{_left_out(len(first.series), len(series))}"
        yield from map(_card, series)
    yield (
        "<footer>An incident opens at a score above 1 and closes after 12 calm samples. An alert "
        "is the rule AnomalyDetected: above 1 for 15 s, kept firing for 30 s. Each score is made "
        "from what was known at its time. Times are UTC.</footer>"
    )


def _tiles(first: results.VariantResult) -> str:
    rate, allowed = first.incidents_per_week, first.allowed_per_week
    verdict = "bad" if rate > 2 * allowed else "good"
    tiles = [
        (f'<b class="{verdict}">{rate:.1f}</b>', f"incidents a week; the budget is {allowed:.1f}"),
        (f"<b>{first.alerts_per_week:.1f}</b>", "alerts a week"),
        (f"<b>{len(first.noisiest())}</b>", f"of {len(first.series)} series had incidents"),
    ]
    if first.expected:
        each = first.expected
        text = f"a week expected from the first half ({each.low:.1f} to {each.high:.1f})"
        tiles.append((f"<b>{each.per_week:.1f}</b>", text))
    if first.quality:
        tiles.append((f"<b>{_share(first.quality.f1)}</b>", "event F1 against the labels"))
    inner = "".join(
        f'<div class="tile">{number}<span>{text}</span></div>' for number, text in tiles
    )
    return f'<div class="tiles">{inner}</div>'


def _variants(variants: Sequence[results.VariantResult]) -> str:
    heads = ["configuration", "incidents", "a week", "allowed", "alerts", "a week"]
    labelled = any(each.quality for each in variants)
    if labelled:
        heads += ["precision", "recall", "F1", "delay", "false a series-day"]
    rows = []
    for each in variants:
        cells = [
            html.escape(each.name),
            str(each.incidents),
            f"{each.incidents_per_week:.1f}",
            f"{each.allowed_per_week:.1f}",
            str(each.alerts),
            f"{each.alerts_per_week:.1f}",
        ]
        if labelled and each.quality:
            q = each.quality
            cells += [_share(q.precision), _share(q.recall), _share(q.f1), results.span(q.delay_s)]
            cells.append(f"{q.false_per_series_day:.3f}")
        rows.append(cells)
    return _table(heads, rows)


def _noisiest(noisiest: Sequence[results.SeriesResult]) -> str:
    most = len(noisiest[0].incidents)
    rows = [
        [
            html.escape(one.name),
            f'<i style="width:{100 * len(one.incidents) / most:.0f}%"></i>',
            str(len(one.incidents)),
            str(len(one.alerts)),
            results.span(one.incident_s),
            f"{one.peak:.1f}",
        ]
        for one in noisiest[:NOISIEST]
    ]
    table = _table(["series", "", "incidents", "alerts", "time open", "highest score"], rows)
    more = len(noisiest) - NOISIEST
    return table + (f'<p class="soft">and {more} more with incidents</p>' if more > 0 else "")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The cells are HTML."""
    head = "".join(f"<th>{text}</th>" for text in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="meter">{cell}</td>' if cell.startswith("<i") else f"<td>{cell}</td>"
            for cell in row
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="card"><table><tr>{head}</tr>{body}</table></div>'


def _left_out(series: int, shown: int) -> str:
    if shown >= series:
        return ""
    return f'<p class="soft">The {shown} of {series} with most to tell; --plots shows more.</p>'


def _card(picture: Picture) -> str:
    light, dark = (
        f"data:image/png;base64,{base64.b64encode(picture.png[name]).decode()}"
        for name in ("light", "dark")
    )
    return (
        '<div class="card"><picture>'
        f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{html.escape(picture.text)}"></picture></div>'
    )


def _share(ratio: float) -> str:
    return "-" if ratio != ratio else f"{100 * ratio:.0f} %"
