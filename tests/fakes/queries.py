"""A roster of runners that nobody watches."""

from __future__ import annotations

from detector.services import inbox, roster, scoring, watching


def roster_of(*runners: scoring.QueryRunner) -> roster.Roster:
    return roster.Roster(member_of(runner) for runner in runners)


def member_of(runner: scoring.QueryRunner, origin: object = None) -> roster.Member:
    news = inbox.Inbox(drop=lambda _: None)
    tracker = watching.Tracker(runner.spec.name, news=news, drop=lambda _: None)
    return roster.Member(origin, runner, tracker)
