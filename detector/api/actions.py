"""Where the addresses in messages lead: /alerts/{ack or silence}/...

Mail programs fetch addresses before anybody reads, so only the button of the page does anything.
"""

import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import HTMLResponse

from detector import alerts, errors, links, ports, signing
from detector.api import bodies, pages
from detector.services import answering, silencing

BY = "by link"
"""Who did it: whoever had the address. No token can have this name, for its space."""
PATH = "/{action}/{fingerprint}/{starts_at_ms}/{expires}/{signature}"
DURATIONS: Mapping[str, tuple[timedelta, str]] = {
    "1h": (timedelta(hours=1), "1 hour"),
    "4h": (timedelta(hours=4), "4 hours"),
    "12h": (timedelta(hours=12), "12 hours"),
    "1d": (timedelta(days=1), "1 day"),
    "3d": (timedelta(days=3), "3 days"),
    "7d": (timedelta(days=7), "7 days"),
}
UNKEPT = "It is done, but the memory of alerts does not answer: look at its history later."
MOST_FIELDS = 10
MOST_LABELS = 20
MOST_SHOWN = 200
"""Characters of a label's value."""
LEFT_OUT = ("alertname", "severity")
Part = Annotated[str, Path(max_length=200)]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an address is about."""

    action: links.Action
    target: links.Target
    signature: str


class Actions:
    """Shows what an address would do, and does it once."""

    def __init__(
        self,
        store: ports.EpisodeStore,
        used: ports.LinkStore,
        answers: answering.Answering,
        signer: signing.Signer,
        *,
        longest: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._used, self._answers = store, used, answers
        self._signer, self._clock = signer, clock
        self._durations = {
            name: each for name, each in DURATIONS.items() if each[0] <= longest
        } or {silencing.in_words(longest): (longest, silencing.in_words(longest))}

    def show(self, action: str, given: links.Given) -> HTMLResponse:
        """The page with its button; nothing changes."""
        return self._guarded(action, given, self._shown)

    def do(self, action: str, given: links.Given, form: Mapping[str, str]) -> HTMLResponse:
        """What the button asks for."""
        return self._guarded(action, given, lambda asked: self._done(asked, form))

    def _guarded(
        self, action: str, given: links.Given, then: Callable[[_Asked], HTMLResponse]
    ) -> HTMLResponse:
        try:
            asked = self._asked(action, given)
            used = self._used.use_of(asked.signature)
            return then(asked) if used is None else _used_page(used)
        except errors.LinkError as error:
            title = "This address is too old" if error.is_expired else "No such address"
            return pages.page(410 if error.is_expired else 404, title, _sentence(error))
        except errors.NotFoundError as error:
            return pages.page(404, "Not known yet", _sentence(error))
        except errors.ConflictError as error:
            return pages.page(409, "Nothing was done", _sentence(error))
        except errors.UpstreamError:
            text = "Alertmanager does not answer. Nothing was done: try again in a minute."
            return pages.page(503, "Not now", text)
        except errors.StoreError:
            text = "The memory of alerts does not answer. Nothing was done: try again in a minute."
            return pages.page(503, "Not now", text)

    def _asked(self, action: str, given: links.Given) -> _Asked:
        if action not in tuple(links.Action):
            raise errors.LinkError("no message has this address: see that it was copied whole")
        known = links.Action(action)
        target = links.read_action(known, given, self._signer, at=self._clock())
        return _Asked(known, target, given.signature)

    def _shown(self, asked: _Asked) -> HTMLResponse:
        episode = self._episode(asked)
        title, text, facts = _about(episode)
        if episode.status is alerts.Status.RESOLVED:
            return pages.page(200, title, text, facts=facts, warning="It is over: nothing to do.")
        if asked.action is links.Action.ACK:
            if episode.status is alerts.Status.ACKNOWLEDGED:
                said = f"Acknowledged already: {episode.owner}."
                return pages.page(200, title, text, facts=facts, warning=said)
            form = pages.Form("Acknowledge", "Note (if you like)")
        else:
            if episode.status is alerts.Status.SILENCED:
                return pages.page(200, title, text, facts=facts, warning="Silenced already.")
            choice = [(name, words) for name, (_, words) in self._durations.items()]
            form = pages.Form("Silence this alert", "Why (if you like)", choice)
        return pages.page(200, title, text, facts=facts, form=form)

    def _done(self, asked: _Asked, form: Mapping[str, str]) -> HTMLResponse:
        episode = self._episode(asked)
        note = form.get("note", "").strip()[: pages.NOTE_MOST]
        if asked.action is links.Action.ACK:
            done = self._answers.acknowledge(episode.id, by=BY, note=note)
            lasting = silencing.in_words(answering.ACKNOWLEDGED_FOR)
            what, more = "acknowledged", f"Nobody else is told for {lasting}, while it lasts."
        else:
            name = form.get("for", "")
            if name not in self._durations:
                name = next(iter(self._durations))
            lasts, words = self._durations[name]
            wanted = silencing.Wanted((), lasts, note or "no reason given", BY)
            made = self._answers.silence(episode.id, wanted)
            assert isinstance(made, answering.Answer)  # noqa: S101 - of one alert, not too long
            done, what, more = made, "silenced", f"It is quiet for {words}."
        is_kept = self._is_kept(asked, what)
        warning = "" if is_kept and not done.warning else UNKEPT
        title, text, facts = _about(done.episode)
        said = f"{more} {text}"
        return pages.page(200, f"{what.capitalize()}: {title}", said, facts=facts, warning=warning)

    def _is_kept(self, asked: _Asked, what: str) -> bool:
        """Keep that the address was used; what it did stays done where that cannot be."""
        use = alerts.LinkUse(self._clock(), BY, what)
        try:
            self._used.use(asked.signature, use, expires=asked.target.expires)
        except errors.StoreError:
            return False
        return True

    def _episode(self, asked: _Asked) -> alerts.Episode:
        found = self._store.episode_of((asked.target.fingerprint, asked.target.starts_at))
        if found is None:
            raise errors.NotFoundError(
                "the memory has no alert of this address: try again in a minute"
            )
        return found


def router(actions: Actions, read: bodies.Reader) -> APIRouter:
    """The routes, which need no token: the path is one.

    read  takes any body
    """
    routes = APIRouter(prefix=links.ACTIONS, include_in_schema=False)

    @routes.api_route(PATH, methods=["GET", "HEAD"])
    def show_action(
        action: Part, fingerprint: Part, starts_at_ms: Part, expires: Part, signature: Part
    ) -> HTMLResponse:
        """What the address would do, and a button."""
        return actions.show(action, links.Given(fingerprint, starts_at_ms, expires, signature))

    @routes.post(PATH)
    def take_action(
        action: Part,
        fingerprint: Part,
        starts_at_ms: Part,
        expires: Part,
        signature: Part,
        body: Annotated[bytes, Depends(read)],
    ) -> HTMLResponse:
        """Do it."""
        given = links.Given(fingerprint, starts_at_ms, expires, signature)
        return actions.do(action, given, _form(body))

    return routes


def _form(body: bytes) -> dict[str, str]:
    """The fields; none of what is no form."""
    try:
        return dict(urllib.parse.parse_qsl(body.decode(), max_num_fields=MOST_FIELDS))
    except ValueError:
        return {}


def _used_page(used: alerts.LinkUse) -> HTMLResponse:
    text = f"This address was used at {_when(used.at)}: {used.what}, {used.by}. It works once."
    return pages.page(410, "Used already", text)


def _about(episode: alerts.Episode) -> tuple[str, str, list[tuple[str, str]]]:
    """Title, text and facts of an alert."""
    labels, said = dict(episode.labels), dict(episode.annotations)
    severity = labels.get("severity", "")
    status = episode.status.value + (
        f", {episode.owner}" if episode.status is alerts.Status.ACKNOWLEDGED else ""
    )
    facts = [("Status", status), ("Severity", severity), ("Since", _when(episode.starts_at))]
    if episode.ends_at is not None:
        facts.append(("Until", _when(episode.ends_at)))
    known = dict(episode.facts)
    facts += [(name.capitalize(), known[name]) for name in ("value", "expected") if name in known]
    others = [pair for pair in episode.labels if pair[0] not in LEFT_OUT]
    facts += [(name, _cut(value)) for name, value in others[:MOST_LABELS]]
    if len(others) > MOST_LABELS:
        facts.append(("", f"and {len(others) - MOST_LABELS} labels more"))
    title = _cut(labels.get("alertname", "An alert"))
    return title, _cut(said.get("summary", "")), [each for each in facts if each[1]]


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _sentence(error: errors.MdaError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
