"""Messages on their way to providers: counts of sent, doubled and lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta

import pytest

from detector import alerts, errors, messages, telemetry
from detector.messages import State
from detector.services import delivering, telling
from tests.factories import at, notification
from tests.fakes.messages import FakeMessageStore
from tests.fakes.provider import FakeProvider

ANN, BOB, EVE = "+491", "+492", "+493"
AGAIN = messages.Refused("busy", again=True)
NEVER = messages.Refused("barred")
UNCLEAR = messages.Unclear("no answer")


class Rig:
    """A store, providers and a clock that a test moves."""

    def __init__(
        self,
        *providers: FakeProvider,
        stand_ins: Sequence[str] = (),
        daily_cap: float = 100.0,
        store: FakeMessageStore | None = None,
        quiet: telling.Quiet | None = None,
        unless: messages.Unless = messages.Unless.DELIVERED,
    ) -> None:
        self.now = 0.0
        self.providers = providers or (FakeProvider(),)
        self.store = store or FakeMessageStore()
        self.meters = telemetry.Telemetry()
        style = telling.Style(3, 0.5, self.providers[0].name, quiet=quiet)
        self.telling = telling.Telling(
            self.store,
            style,
            recipients=[ANN],
            stand_ins=stand_ins,
            clock=lambda: at(self.now),
            meters=self.meters,
        )
        self.delivering = delivering.Delivering(
            self.store,
            self.providers,
            style,
            recipients=[ANN],
            stand_ins=stand_ins,
            unless=unless,
            daily_cap=daily_cap,
            keep=timedelta(days=30),
            callback_url=lambda provider, reference: f"http://here/{provider}/{reference}",
            clock=lambda: at(self.now),
            meters=self.meters,
        )

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.delivering.turn()
        while not self.delivering.pause():
            self.delivering.turn()

    def states(self) -> list[State]:
        page = self.store.list_messages(messages.Filter())
        return [each.state for each in reversed(page.messages)]

    def last(self) -> messages.Message:
        return self.store.list_messages(messages.Filter()).messages[0]

    def counted(self, name: str, **labels: str) -> float:
        return self.meters.registry.get_sample_value(name, labels) or 0.0


def alert(name: str = "a", **given: object) -> alerts.Notification:
    return notification(name, **given)  # type: ignore[arg-type]


def test_what_is_told_is_handed_over_once_and_its_receipt_is_kept() -> None:
    rig = Rig()
    assert rig.telling.tell([alert()]) == 1
    rig.turn()
    rig.turn(5)
    (given,) = rig.providers[0].given
    message = rig.last()
    assert (given.recipient, given.text, given.reference) == (ANN, message.text, message.reference)
    assert given.callback_url == f"http://here/vonage/{message.reference}"
    assert (message.state, message.provider_id, message.attempts) == (State.SENT, "vonage-1", 1)
    assert rig.delivering.receive(message.reference, messages.Receipt(State.DELIVERED))
    assert rig.states() == [State.DELIVERED]
    assert rig.counted("detector_messages_total", state="delivered") == 1
    assert rig.counted("detector_messages_spent_today") == 0.5


def test_a_busy_provider_is_asked_again_ever_later() -> None:
    rig = Rig(FakeProvider("vonage", *[AGAIN] * 4))
    rig.telling.tell([alert()])
    waits = []
    rig.turn()
    for _ in range(4):
        due = rig.last().due_at
        waits.append(round((due - at(rig.now)).total_seconds()))
        rig.turn(waits[-1] - 0.1)
        assert rig.last().state is State.QUEUED
        rig.turn(0.1)
    assert waits == [10, 20, 40, 80]
    assert (rig.last().state, rig.last().attempts) == (State.SENT, 5)


def test_a_provider_that_says_when_is_left_alone_until_then() -> None:
    rig = Rig(FakeProvider("vonage", messages.Refused("busy", again=True, wait=timedelta(300))))
    rig.telling.tell([alert()])
    rig.turn()
    assert rig.last().due_at == at(0) + timedelta(300)


def test_the_next_provider_is_asked_only_after_a_no() -> None:
    first, second = FakeProvider("vonage", NEVER, AGAIN, UNCLEAR), FakeProvider("twilio")
    rig = Rig(first, second)
    for name in "abc":
        rig.telling.tell([alert(name)])
    rig.turn()
    assert (len(first.given), len(second.given)) == (3, 2)
    assert rig.states() == [State.SENT, State.SENT, State.SENDING]
    assert rig.store.kept[1].provider == "twilio"


def test_when_all_are_busy_the_first_is_asked_again_after_a_while() -> None:
    first, second = FakeProvider("vonage", AGAIN, AGAIN), FakeProvider("twilio", AGAIN, AGAIN)
    rig = Rig(first, second)
    rig.telling.tell([alert()])
    rig.turn()
    assert (rig.last().provider, rig.last().due_at) == ("vonage", at(10))
    rig.turn(10)
    assert rig.last().due_at == at(30)
    rig.turn(20)
    assert (rig.last().state, rig.last().provider) == (State.SENT, "vonage")


@pytest.mark.parametrize("answers", [(AGAIN, NEVER), (NEVER, AGAIN)])
def test_where_one_may_take_it_later_all_are_asked_again(
    answers: tuple[messages.Refused, messages.Refused],
) -> None:
    first, second = FakeProvider("vonage", answers[0]), FakeProvider("twilio", answers[1])
    rig = Rig(first, second)
    rig.telling.tell([alert()])
    rig.turn()
    assert (rig.last().state, rig.last().due_at) == (State.QUEUED, at(10))
    rig.turn(10)
    assert (rig.last().state, rig.last().provider) == (State.SENT, "vonage")


def test_when_all_say_no_for_good_it_has_failed_and_why_is_kept() -> None:
    rig = Rig(FakeProvider("vonage", NEVER), FakeProvider("twilio", NEVER))
    rig.telling.tell([alert()])
    rig.turn()
    assert (rig.last().state, rig.last().reason) == (State.FAILED, "twilio: barred")
    assert rig.counted("detector_message_attempts_total", provider="vonage", outcome="refused") == 1


def test_what_nobody_takes_for_hours_is_given_up() -> None:
    rig = Rig(FakeProvider("vonage", *[AGAIN] * 99))
    rig.telling.tell([alert()])
    for _ in range(100):
        rig.turn(180)
    message = rig.last()
    assert message.state is State.FAILED
    assert message.reason == "given up after 16 attempts: vonage: busy"
    assert timedelta(hours=1) < message.updated_at - message.created_at < timedelta(hours=3)


def test_an_unclear_outcome_is_asked_for_and_not_sent_again() -> None:
    rig = Rig(FakeProvider("vonage", UNCLEAR))
    (provider,) = rig.providers
    rig.telling.tell([alert()])
    rig.turn()
    rig.turn(59)
    assert provider.asked == []
    rig.turn(2)
    assert rig.last().state is State.UNKNOWN
    assert "not sent again" in rig.last().reason
    rig.turn(9999)
    assert len(provider.given) == 1


def test_a_provider_that_knows_settles_what_was_unclear() -> None:
    rig = Rig(FakeProvider("vonage", UNCLEAR))
    rig.providers[0].finds = messages.Receipt(State.DELIVERED, "m7", price=0.2)
    rig.telling.tell([alert()])
    rig.turn()
    rig.turn(61)
    message = rig.last()
    assert (message.state, message.provider_id, message.price) == (State.DELIVERED, "m7", 0.2)
    assert len(rig.providers[0].given) == 1


def test_what_was_never_taken_is_sent_again_once_the_provider_can_know() -> None:
    rig = Rig(FakeProvider("vonage", UNCLEAR))
    (provider,) = rig.providers
    provider.finds = messages.Lookup.CANNOT_TELL
    rig.telling.tell([alert()])
    rig.turn()
    for _ in range(182):
        rig.turn(1)
    assert rig.last().state is State.SENDING
    assert len(provider.asked) == 5  # every 30 s from the first minute on
    assert provider.asked[-1].last_handed_at == at(0)
    provider.finds = messages.Lookup.NEVER_TAKEN
    rig.turn(30)
    assert rig.last().reason == "vonage: has never taken it"
    rig.turn(10)
    assert rig.last().state is State.SENT
    assert len(provider.given) == 2


def test_a_provider_that_is_silent_for_ever_makes_way_for_the_next() -> None:
    first, second = FakeProvider("vonage", UNCLEAR), FakeProvider("twilio")
    first.finds = messages.Lookup.NEVER_TAKEN
    rig = Rig(first, second)
    rig.telling.tell([alert()])
    rig.turn()
    rig.turn(61)
    assert (rig.last().state, rig.last().provider) == (State.SENT, "twilio")


def test_a_message_that_is_never_taken_ends_some_time() -> None:
    rig = Rig(FakeProvider("vonage", *[UNCLEAR] * 99))
    rig.providers[0].finds = messages.Lookup.NEVER_TAKEN
    rig.telling.tell([alert()])
    for _ in range(40):
        rig.turn(700)
    assert rig.last().state is State.FAILED
    assert rig.last().reason.startswith("given up after 16 attempts")


def test_in_quiet_hours_nothing_is_sent_but_of_some_severities_whatever_is_due() -> None:
    quiet = telling.Quiet(time(22), time(7), frozenset({"critical"}))
    rig = Rig(FakeProvider("vonage", AGAIN, NEVER), stand_ins=[BOB], quiet=quiet)
    rig.now = 9.999 * 3600  # nearly ten in the evening
    rig.telling.tell([alert("a")])
    rig.turn()
    rig.turn(60)  # it is to be sent again, and it is night
    assert rig.states() == [State.QUEUED]
    rig.telling.tell([alert("b", labels=(("severity", "critical"),))])
    rig.turn()
    assert rig.last().recipient == BOB
    assert rig.states() == [State.QUEUED, State.FAILED, State.SENT]  # as critical as the first
    rig.turn(9 * 3600)
    assert rig.states()[0] is State.SENT


def test_what_comes_of_a_message_while_its_answer_is_on_the_way_is_kept() -> None:
    rig = Rig()

    class Slow(FakeProvider):
        def send(self, message: messages.Outgoing) -> messages.Outcome:
            (claimed,) = rig.store.in_doubt(before=at(rig.now + 1))
            rig.store.settle(claimed, messages.Change(State.UNKNOWN, "no answer"), at=at(rig.now))
            return messages.Accepted("m1", 0.3)

    rig = Rig(Slow())
    rig.telling.tell([alert()])
    rig.turn()
    message = rig.last()
    assert (message.state, message.provider_id, message.price) == (State.SENT, "m1", 0.3)


def test_numbers_that_are_told_no_more_get_nothing() -> None:
    rig = Rig(stand_ins=[BOB])
    draft = messages.Draft("x", 1, "high", "vonage", 0.5, at(0))
    rig.store.tell(["+499"], [alert()], lambda _: draft, at=at(0))
    rig.turn()
    assert rig.states() == [State.DROPPED]
    assert rig.providers[0].given == []
    assert rig.counted("detector_messages_given_up") == 1


def test_nobody_stands_in_for_a_number_that_is_told_no_more() -> None:
    rig = Rig(FakeProvider("vonage", NEVER), stand_ins=[BOB])
    draft = messages.Draft("x", 1, "high", "vonage", 0.5, at(0))
    rig.store.tell(["+499"], [alert()], lambda _: draft, at=at(0))
    (message,) = rig.store.claim(at=at(0), limit=1)
    rig.store.settle(message, messages.Change(State.UNKNOWN, "no answer"), at=at(0))
    rig.turn(1)
    assert [each.recipient for each in rig.store.kept.values()] == ["+499"]


def test_a_provider_that_is_gone_is_named_no_more_before_the_next_is_asked() -> None:
    rig = Rig()
    rig.telling.tell([alert()])
    after = Rig(FakeProvider("twilio", UNCLEAR), store=rig.store)
    after.turn()
    assert (after.last().provider, after.last().state) == ("twilio", State.SENDING)


def test_a_store_that_fails_between_two_messages_leaves_none_claimed() -> None:
    class Failing(FakeMessageStore):
        def spent(self, *, since: datetime) -> float:
            raise errors.StoreError("away", retryable=True)

    rig = Rig(store=Failing())
    rig.telling.tell([alert()])
    with pytest.raises(errors.StoreError):
        rig.turn()
    assert rig.states() == [State.QUEUED]


def test_a_provider_that_cannot_tell_for_long_leaves_it_unknown() -> None:
    rig = Rig(FakeProvider("vonage", UNCLEAR))
    rig.providers[0].finds = messages.Lookup.CANNOT_TELL
    rig.telling.tell([alert()])
    rig.turn()
    rig.turn(599)
    assert rig.last().state is State.SENDING
    rig.turn(31)
    assert rig.last().state is State.UNKNOWN
    assert len(rig.providers[0].given) == 1


def test_killed_between_claim_and_answer_it_is_asked_for_by_who_comes_after() -> None:
    rig = Rig()
    rig.telling.tell([alert()])
    rig.store.claim(at=at(0), limit=1)  # and then the process was killed
    after = Rig(store=rig.store)
    after.providers[0].finds = messages.Receipt(State.SENT, "m1")
    after.turn(61)
    assert after.last().state is State.SENT
    assert after.providers[0].given == []


def test_the_days_cap_holds_and_says_so_until_midnight() -> None:
    rig = Rig(daily_cap=1.0)
    for name in "abc":
        rig.telling.tell([alert(name)])
    rig.turn()
    assert rig.states() == [State.SENT, State.SENT, State.DROPPED]
    assert "over the day's cap of 1 (sms.daily_cap)" in rig.last().reason
    rig.now += 86_400
    rig.telling.tell([alert("d")])
    rig.turn()
    assert rig.last().state is State.SENT


def test_the_next_person_is_told_where_a_message_did_not_arrive() -> None:
    rig = Rig(FakeProvider("vonage", NEVER, UNCLEAR), stand_ins=[BOB, EVE])
    rig.telling.tell([alert()])
    rig.turn()
    assert [each.recipient for each in rig.store.kept.values()] == [ANN, BOB]
    rig.turn(1)  # its outcome is unclear
    rig.turn(61)  # and nobody can tell: EVE is told
    rig.turn(1)
    assert [each.recipient for each in rig.store.kept.values()] == [ANN, BOB, EVE]
    assert rig.states() == [State.FAILED, State.UNKNOWN, State.SENT]
    rig.turn(86_300)
    assert len(rig.store.kept) == 3  # nobody is left


def test_the_next_person_is_told_where_a_message_arrived_and_nobody_answers() -> None:
    answered: set[messages.Key] = set()
    store = FakeMessageStore(lambda key: alerts.Status.ACKNOWLEDGED if key in answered else None)
    rig = Rig(stand_ins=[BOB, EVE], store=store, unless=messages.Unless.ACKNOWLEDGED)
    rig.telling.tell([alert("a")])
    rig.turn()
    rig.delivering.receive(rig.last().reference, messages.Receipt(State.DELIVERED))
    rig.turn(899)
    assert len(store.kept) == 1
    rig.turn(1)
    assert [each.recipient for each in store.kept.values()] == [ANN, BOB]
    rig.delivering.receive(rig.last().reference, messages.Receipt(State.DELIVERED))
    answered.add(messages.key_of(alert("a")))
    rig.turn(900)
    assert [each.recipient for each in store.kept.values()] == [ANN, BOB]  # EVE can sleep
    answered.clear()
    rig.turn(1)
    assert [each.recipient for each in store.kept.values()] == [ANN, BOB, EVE]
    assert [each.text for each in store.kept.values()] == [rig.last().text] * 3
    assert rig.providers[0].asked == []  # it has said already that they arrived


def test_where_arriving_is_enough_nobody_else_is_told() -> None:
    rig = Rig(stand_ins=[BOB])
    rig.telling.tell([alert("a")])
    rig.turn()
    rig.delivering.receive(rig.last().reference, messages.Receipt(State.DELIVERED))
    rig.turn(80_000)
    assert len(rig.store.kept) == 1


def test_a_message_without_a_receipt_in_time_is_asked_for_first() -> None:
    rig = Rig(stand_ins=[BOB])
    rig.providers[0].finds = messages.Receipt(State.DELIVERED)
    rig.telling.tell([alert("a")])
    rig.turn()
    rig.turn(899)
    assert rig.providers[0].asked == []
    rig.turn(2)
    assert rig.states() == [State.DELIVERED]
    rig.providers[0].finds = messages.Receipt(State.SENT)
    rig.telling.tell([alert("b")])
    rig.turn()
    rig.turn(901)
    assert rig.last().recipient == BOB


def test_stand_ins_hear_only_the_end_of_what_they_were_told_of() -> None:
    rig = Rig(FakeProvider("vonage", NEVER), stand_ins=[BOB])
    rig.telling.tell([alert("a")])
    rig.telling.tell([alert("b")])
    rig.turn()
    rig.turn()
    ended = [alert(name, ends_at=at(60)) for name in "ab"]
    rig.telling.tell(ended)
    told = [(each.recipient, each.text) for each in rig.store.kept.values()]
    bobs = [text for recipient, text in told if recipient == BOB]
    assert len(bobs) == 2
    assert bobs[1].startswith("RESOLVED")


def test_stand_ins_hear_nothing_of_what_begins_in_the_same_delivery() -> None:
    rig = Rig(stand_ins=[BOB])
    rig.telling.tell([alert("a", ends_at=at(60)), alert("b")])
    assert [each.recipient for each in rig.store.kept.values()] == [ANN]


def test_a_store_that_fails_loses_nothing() -> None:
    rig = Rig()
    rig.store.failure = errors.StoreError("away", retryable=True)
    with pytest.raises(errors.StoreError):
        rig.telling.tell([alert()])
    with pytest.raises(errors.StoreError):
        rig.turn()
    rig.store.failure = None
    rig.telling.tell([alert()])
    rig.turn()
    assert rig.states() == [State.SENT]


def test_a_store_that_fails_is_given_time() -> None:
    rig = Rig()
    rig.telling.tell([alert()])
    rig.delivering.turn()
    assert rig.delivering.pause() == timedelta(0)
    rig.store.failure = errors.StoreError("away", retryable=True)
    with pytest.raises(errors.StoreError):
        rig.delivering.turn()
    assert rig.delivering.pause() == delivering.EVERY


def test_old_messages_are_forgotten() -> None:
    rig = Rig()
    rig.telling.tell([alert()])
    rig.turn()
    rig.turn(31 * 86_400)
    assert rig.states() == [State.SENT]  # what it tells of lasts
    rig.telling.tell([alert(ends_at=at(60))])
    rig.turn()
    rig.turn(31 * 86_400)
    assert rig.states() == []
