"""What every ports.MessageStore holds: PostgreSQL's and the fake that tests use in its place."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence

import pytest

from detector import alerts, messages, ports
from detector.messages import State
from detector.store import database, episodes, migrate
from detector.store import messages as store_messages
from tests.factories import at, notification
from tests.fakes.episodes import FakeEpisodeStore
from tests.fakes.messages import FakeMessageStore

ANN, BOB, EVE = "+491", "+492", "+493"
FIRING, RESOLVED = alerts.State.FIRING, alerts.State.RESOLVED


Stores = tuple[ports.MessageStore, ports.EpisodeStore]


@pytest.fixture(params=["fake", "postgres"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "fake":
        remembered = FakeEpisodeStore()

        def status_of(key: messages.Key) -> alerts.Status | None:
            found = remembered.episode_of(key)
            return None if found is None else found.status

        yield FakeMessageStore(status_of), remembered
        return
    url: str = request.getfixturevalue("database_url")
    migrate.migrate(url)
    connections = database.Database(url)
    yield (
        store_messages.PostgresMessageStore(connections),
        episodes.PostgresEpisodeStore(connections),
    )
    connections.close()


@pytest.fixture
def store(stores: Stores) -> ports.MessageStore:
    return stores[0]


def fires(name: str) -> alerts.Notification:
    return notification(name)


def ends(name: str) -> alerts.Notification:
    return notification(name, ends_at=at(60))


def draft(told: Sequence[alerts.Notification]) -> messages.Draft:
    text = " ".join(f"{each.fingerprint} {each.state}" for each in told)
    return messages.Draft(text, 1, "high", "vonage", 0.5, at(5))


def test_messages_about_an_episode_are_found(store: ports.MessageStore) -> None:
    told(store, fires("a"), fires("b"), who=(ANN, BOB))
    claimed(store)
    told(store, ends("a"))
    about = {name: store.about(messages.Key(fires(name).fingerprint, at(0))) for name in "abc"}
    assert [each.text for each in about["a"]] == [
        "a firing b firing",
        "a firing b firing",
        "a resolved",
    ]
    assert [each.recipient for each in about["b"]] == [ANN, BOB]
    assert about["c"] == ()


def texts(store: ports.MessageStore, **wanted: object) -> list[str]:
    page = store.list_messages(messages.Filter(**wanted))  # type: ignore[arg-type]
    return [each.text for each in reversed(page.messages)]


def told(
    store: ports.MessageStore, *delivered: alerts.Notification, who: Sequence[str] = (ANN,)
) -> int:
    return store.tell(who, delivered, draft, at=at(0))


def claimed(store: ports.MessageStore, seconds: float = 5) -> messages.Message:
    (message,) = store.claim(at=at(seconds), limit=1)
    return message


def test_a_message_is_queued_for_each_person_and_comes_back_whole(
    store: ports.MessageStore,
) -> None:
    assert told(store, fires("a"), fires("b"), who=(ANN, BOB)) == 2
    second, first = store.list_messages(messages.Filter()).messages
    assert {first.recipient, second.recipient} == {ANN, BOB}
    assert first == messages.Message(
        id=first.id,
        reference=first.reference,
        recipient=first.recipient,
        text="a firing b firing",
        parts=1,
        severity="high",
        state=State.QUEUED,
        created_at=at(0),
        due_at=at(5),
        updated_at=at(0),
        handed_at=None,
        attempts=0,
        provider="vonage",
        provider_id="",
        price=0.5,
        reason="",
        again=False,
        follows_id=None,
    )
    assert len(first.reference) == 22
    assert first.reference != second.reference


def test_what_was_told_is_not_told_again(store: ports.MessageStore) -> None:
    assert told(store, fires("a")) == 1
    assert told(store, fires("a")) == 0
    assert told(store, fires("a"), fires("b")) == 1
    assert texts(store) == ["a firing", "b firing"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_deliveries_in_any_order_tell_each_state_once_or_not_at_all(
    store: ports.MessageStore, order: tuple[int, ...]
) -> None:
    deliveries = [fires("a"), fires("a"), ends("a"), ends("a")]
    for number in order:
        told(store, deliveries[number])
        for message in store.claim(at=at(5), limit=9):
            store.settle(message, messages.Change(State.SENT), at=at(5))
    first_is_end = order[0] >= 2
    assert texts(store) == ([] if first_is_end else ["a firing", "a resolved"])


def states(store: ports.MessageStore) -> list[tuple[str, State]]:
    page = store.list_messages(messages.Filter())
    return [(each.text, each.state) for each in reversed(page.messages)]


def test_what_is_over_before_it_was_sent_is_dropped_without_a_word(
    store: ports.MessageStore,
) -> None:
    told(store, fires("a"), fires("b"))
    assert told(store, ends("a")) == 1  # b still fires, so the message of both stays
    assert told(store, ends("b")) == 0
    assert states(store) == [("a firing b firing", State.DROPPED), ("a resolved", State.DROPPED)]
    assert store.list_messages(messages.Filter()).messages[1].reason == messages.OVER
    assert store.given_up(since=at(0)) == 0
    assert told(store, fires("a"), fires("b")) == 0


def test_what_begins_and_ends_in_one_delivery_is_not_told(store: ports.MessageStore) -> None:
    assert told(store, fires("a"), ends("a")) == 0
    assert told(store, fires("a")) == 0


def test_who_claimed_it_before_does_not_settle_it_after_another_claim(
    store: ports.MessageStore,
) -> None:
    told(store, fires("a"))
    first = claimed(store)
    store.settle(first, messages.Change(State.QUEUED, "never taken", due_at=at(30)), at=at(6))
    second = claimed(store, 30)
    assert not store.settle(first, messages.Change(State.FAILED, "late"), at=at(31))
    assert store.settle(second, messages.Change(State.SENT), at=at(31))


def test_a_receipt_of_what_is_under_way_ends_doubt_and_trying_but_no_more(
    store: ports.MessageStore,
) -> None:
    sent = messages.Receipt(State.SENT, "m1")
    for name, state in (("a", State.QUEUED), ("b", State.UNKNOWN), ("c", State.FAILED)):
        told(store, fires(name))
        message = claimed(store)
        store.settle(message, messages.Change(state, due_at=at(90)), at=at(6))
        assert store.receive(message.reference, sent, at=at(7)) == (state is not State.FAILED)


def test_the_end_of_what_was_sent_is_kept_when_others_are_dropped(
    store: ports.MessageStore,
) -> None:
    told(store, fires("a"))
    store.settle(claimed(store), messages.Change(State.SENT), at=at(6))
    assert told(store, ends("a"), fires("b")) == 1
    assert told(store, ends("b")) == 1  # what says that a has ended says that b has begun
    assert states(store)[1:] == [
        ("a resolved b firing", State.QUEUED),
        ("b resolved", State.QUEUED),
    ]


def test_an_end_that_comes_while_its_beginning_is_handed_over_follows_it(
    store: ports.MessageStore,
) -> None:
    told(store, fires("a"))
    message = claimed(store)
    assert told(store, ends("a")) == 1
    assert store.settle(message, messages.Change(State.SENT), at=at(6))
    assert states(store) == [("a firing", State.SENT), ("a resolved", State.QUEUED)]


def test_a_beginning_that_would_be_sent_after_its_end_is_dropped_with_it(
    store: ports.MessageStore,
) -> None:
    told(store, fires("a"))
    message = claimed(store)
    assert told(store, ends("a")) == 1
    again = messages.Change(State.QUEUED, "busy", due_at=at(30))
    assert store.settle(message, again, at=at(6))
    assert states(store) == [("a firing", State.DROPPED), ("a resolved", State.DROPPED)]


@pytest.mark.parametrize("lost", [State.FAILED, State.DROPPED])
def test_the_end_of_what_did_not_arrive_is_not_told(store: ports.MessageStore, lost: State) -> None:
    told(store, fires("a"))
    store.settle(claimed(store), messages.Change(lost, "over the cap"), at=at(6))
    assert told(store, ends("a")) == 0
    assert told(store, fires("a")) == 0
    assert store.given_up(since=at(6)) == 1
    assert store.given_up(since=at(7)) == 0


def test_all_that_a_message_has_been_is_kept(store: ports.MessageStore) -> None:
    told(store, fires("a"))
    message = claimed(store)
    again = messages.Change(State.QUEUED, "busy", due_at=at(30), provider="twilio")
    store.settle(message, again, at=at(6))
    second = claimed(store, 30)
    store.settle(second, messages.Change(State.SENT), at=at(31))
    store.receive(second.reference, messages.Receipt(State.DELIVERED), at=at(40))
    assert store.events(message.id) == (
        messages.Event(at(0), State.QUEUED, "vonage", ""),
        messages.Event(at(5), State.SENDING, "vonage", ""),
        messages.Event(at(6), State.QUEUED, "twilio", "busy"),
        messages.Event(at(30), State.SENDING, "twilio", "busy"),
        messages.Event(at(31), State.SENT, "twilio", ""),
        messages.Event(at(40), State.DELIVERED, "twilio", ""),
    )
    assert store.events(4711) == ()


def test_a_receipt_that_comes_while_it_waits_to_be_sent_again_ends_that(
    store: ports.MessageStore,
) -> None:
    told(store, fires("a"))
    message = claimed(store)
    store.settle(message, messages.Change(State.QUEUED, "500", due_at=at(30)), at=at(6))
    assert store.receive(message.reference, messages.Receipt(State.DELIVERED), at=at(8))
    assert store.claim(at=at(60), limit=1) == ()


def test_a_stand_in_is_told_once_whoever_was_not_reached(store: ports.MessageStore) -> None:
    told(store, fires("a"), who=(ANN, BOB))
    for message in store.claim(at=at(5), limit=9):
        store.settle(message, messages.Change(State.FAILED, "barred"), at=at(6))
    first, second = store.unanswered(since=at(0))
    assert store.follow(first, EVE, draft([fires("a")]), at=at(7))
    assert not store.follow(second, EVE, draft([fires("a")]), at=at(7))
    assert store.unanswered(since=at(0)) == ()
    found = store.list_messages(messages.Filter(recipient=EVE)).messages
    assert [each.state for each in found] == [State.DROPPED, State.QUEUED]
    assert found[0].reason == messages.ALREADY_TOLD


def test_what_arrived_or_ended_in_the_meantime_is_not_followed(store: ports.MessageStore) -> None:
    told(store, fires("a"), who=(ANN, BOB))
    for message in store.claim(at=at(5), limit=9):
        store.settle(message, messages.Change(State.SENT), at=at(6))
    first, second = store.unanswered(since=at(0))
    store.receive(first.reference, messages.Receipt(State.DELIVERED), at=at(7))
    told(store, ends("a"), who=(second.recipient,))
    for message in (first, second):
        assert not store.follow(message, EVE, draft([fires("a")]), at=at(8))
    assert texts(store, recipient=EVE) == []


def test_what_lasts_is_not_forgotten(store: ports.MessageStore) -> None:
    told(store, fires("a"))
    store.settle(claimed(store), messages.Change(State.SENT), at=at(6))
    assert store.forget(before=at(999)) == 0
    assert told(store, fires("a")) == 0


def test_due_messages_are_claimed_once_in_order(store: ports.MessageStore) -> None:
    for name in "abc":
        told(store, fires(name))
    assert store.claim(at=at(4), limit=9) == ()
    first, second = store.claim(at=at(5), limit=2)
    assert (first.text, second.text) == ("a firing", "b firing")
    assert (first.state, first.attempts, first.handed_at) == (State.SENDING, 1, at(5))
    assert [each.text for each in store.claim(at=at(6), limit=9)] == ["c firing"]
    assert store.in_doubt(before=at(6)) == (first, second)


def test_only_messages_of_the_severities_asked_for_are_claimed(store: ports.MessageStore) -> None:
    told(store, fires("a"))
    assert store.claim(at=at(5), limit=9, severities=["critical"]) == ()
    assert store.claim(at=at(5), limit=9, severities=[]) == ()
    assert len(store.claim(at=at(5), limit=9, severities=["critical", "high"])) == 1


def test_threads_claim_each_message_once(store: ports.MessageStore) -> None:
    for number in range(20):
        told(store, fires(f"f{number}"))
    found: list[messages.Message] = []

    def claim() -> None:
        while batch := store.claim(at=at(9), limit=3):
            found.extend(batch)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    left = store.claim(at=at(9), limit=99)  # rows that others held were passed over
    assert sorted(each.id for each in [*found, *left]) == sorted(
        each.id for each in store.list_messages(messages.Filter()).messages
    )


def test_a_claimed_message_is_settled_once(store: ports.MessageStore) -> None:
    told(store, fires("a"))
    message = claimed(store)
    again = messages.Change(State.QUEUED, "busy", due_at=at(30), provider="twilio", again=True)
    assert store.settle(message, again, at=at(6))
    assert not store.settle(message, messages.Change(State.SENT), at=at(7))
    assert store.claim(at=at(29), limit=1) == ()
    second = claimed(store, 30)
    assert (second.provider, second.reason, second.attempts) == ("twilio", "busy", 2)
    assert second.again
    sent = messages.Change(State.SENT, provider_id="m1", price=0.25)
    assert store.settle(second, sent, at=at(31))
    (now,) = store.list_messages(messages.Filter(state=State.SENT)).messages
    assert (now.provider_id, now.price, now.reason, now.updated_at) == ("m1", 0.25, "", at(31))


def test_receipts_come_late_twice_and_early(store: ports.MessageStore) -> None:
    told(store, fires("a"))
    (queued,) = store.list_messages(messages.Filter()).messages
    arrived = messages.Receipt(State.DELIVERED, price=0.4)
    assert not store.receive(queued.reference, arrived, at=at(1))
    message = claimed(store)
    assert not store.receive("0" * 32, arrived, at=at(6))
    assert store.receive(message.reference, arrived, at=at(6))
    assert not store.receive(message.reference, arrived, at=at(7))
    failed = messages.Receipt(State.FAILED, reason="expired")
    assert not store.receive(message.reference, failed, at=at(8))
    assert not store.settle(message, messages.Change(State.SENT), at=at(9))
    (now,) = store.list_messages(messages.Filter()).messages
    assert (now.state, now.price, now.updated_at) == (State.DELIVERED, 0.4, at(6))


def test_a_receipt_corrects_what_was_unknown_or_failed(store: ports.MessageStore) -> None:
    told(store, fires("a"))
    message = claimed(store)
    store.settle(message, messages.Change(State.UNKNOWN, "no answer"), at=at(6))
    assert store.receive(
        message.reference, messages.Receipt(State.FAILED, "m1", "expired"), at=at(7)
    )
    assert store.receive(message.reference, messages.Receipt(State.DELIVERED), at=at(8))
    (now,) = store.list_messages(messages.Filter()).messages
    assert (now.state, now.provider_id, now.reason) == (State.DELIVERED, "m1", "")


def test_money_is_counted_from_an_instant_on(store: ports.MessageStore) -> None:
    for name in "abcd":
        told(store, fires(name))
    sent, refused, failed = (claimed(store, 10 + number) for number in range(3))
    store.settle(sent, messages.Change(State.SENT, price=2.0), at=at(20))
    store.settle(refused, messages.Change(State.FAILED, "barred"), at=at(20))
    store.settle(failed, messages.Change(State.SENT, provider_id="m3"), at=at(20))
    store.receive(failed.reference, messages.Receipt(State.FAILED), at=at(21))
    assert store.spent(since=at(0)) == 2.5
    assert store.spent(since=at(11)) == 0.5
    assert store.spent(since=at(13)) == 0.0


def test_what_nobody_answers_for_is_followed_once(store: ports.MessageStore) -> None:
    told(store, fires("a"))
    message = claimed(store)
    assert store.unanswered(since=at(0)) == ()  # under way
    store.settle(message, messages.Change(State.UNKNOWN, "no answer"), at=at(6))
    assert store.unanswered(since=at(6)) == ()
    (found,) = store.unanswered(since=at(0))
    assert store.follow(found, BOB, draft([fires("a")]), at=at(60))
    assert not store.follow(found, BOB, draft([fires("a")]), at=at(61))
    assert store.unanswered(since=at(0)) == ()
    (follower,) = store.list_messages(messages.Filter(recipient=BOB)).messages
    assert (follower.follows_id, follower.state) == (message.id, State.QUEUED)
    store.claim(at=at(61), limit=1)
    assert told(store, ends("a"), who=(BOB,)) == 1  # who was told hears of the end


def test_what_is_over_needs_no_follower(store: ports.MessageStore) -> None:
    told(store, fires("a"), fires("b"))
    message = claimed(store)
    store.settle(message, messages.Change(State.FAILED, "barred"), at=at(6))
    told(store, ends("a"))
    assert len(store.unanswered(since=at(0))) == 1
    told(store, ends("b"))
    assert store.unanswered(since=at(0)) == ()


@pytest.mark.parametrize("state", [State.SENT, State.DELIVERED, State.FAILED, State.UNKNOWN])
def test_what_nobody_acknowledges_is_unanswered_though_it_arrived(
    stores: Stores, state: State
) -> None:
    store, remembered = stores
    by_answer = messages.Unless.ACKNOWLEDGED
    told(store, fires("a"), fires("b"))
    store.settle(claimed(store), messages.Change(state), at=at(6))
    assert bool(store.unanswered(since=at(0))) == (state is not State.DELIVERED)
    assert len(store.unanswered(since=at(0), unless=by_answer)) == 1  # the memory knows neither
    remembered.record([fires("a"), fires("b")], received_at=at(8))
    key = (alerts.Fingerprint("a"), at(0))
    remembered.mark([key], alerts.Status.ACKNOWLEDGED, at=at(9), by="ann")
    (message,) = store.unanswered(since=at(0), unless=by_answer)  # b fires
    other = (alerts.Fingerprint("b"), at(0))
    remembered.mark([other], alerts.Status.SILENCED, at=at(9), by="ann")
    assert store.unanswered(since=at(0), unless=by_answer) == ()
    assert not store.follow(message, BOB, draft([fires("a")]), at=at(10), unless=by_answer)
    remembered.mark([other], alerts.Status.FIRING, at=at(11))
    assert store.follow(message, BOB, draft([fires("a")]), at=at(12), unless=by_answer)
    assert store.unanswered(since=at(0), unless=by_answer) == ()  # it is followed


def test_whose_end_the_memory_knows_is_answered(stores: Stores) -> None:
    """A silenced alert ends without a word to anybody."""
    store, remembered = stores
    told(store, fires("a"))
    store.settle(claimed(store), messages.Change(State.UNKNOWN, "no answer"), at=at(6))
    remembered.record([ends("a")], received_at=at(61))
    assert store.unanswered(since=at(0), unless=messages.Unless.ACKNOWLEDGED) == ()
    assert len(store.unanswered(since=at(0))) == 1


def test_old_messages_are_forgotten_but_not_those_under_way(store: ports.MessageStore) -> None:
    for name in "abc":
        told(store, fires(name))
    told(store, ends("z"))
    done, under_way = store.claim(at=at(5), limit=2)
    store.settle(done, messages.Change(State.FAILED, "barred"), at=at(6))
    told(store, ends("a"))
    assert store.forget(before=at(6)) == 0
    assert store.forget(before=at(7)) == 1
    left = {each.id for each in store.list_messages(messages.Filter()).messages}
    assert done.id not in left
    assert under_way.id in left
    assert len(left) == 2
    assert told(store, fires("z")) == 1  # that it was over is forgotten too
    assert told(store, fires("b")) == 0


def test_pages_leave_nothing_out(store: ports.MessageStore) -> None:
    for number in range(5):
        told(store, fires(f"f{number}"))
    found: list[str] = []
    before: int | None = None
    while True:
        page = store.list_messages(messages.Filter(before_id=before, limit=2))
        found += [each.text for each in page.messages]
        before = page.next_id
        if before is None:
            break
    assert found == [f"f{number} firing" for number in (4, 3, 2, 1, 0)]


def test_texts_that_a_database_lacks_are_kept_near_enough(store: ports.MessageStore) -> None:
    odd = notification("a\0\ud800")
    assert told(store, odd) == 1
    assert told(store, odd) == 0
    assert told(store, notification("a\0\ud800", ends_at=at(60))) == 0  # dropped, as it is over
    assert [each.state for each in store.list_messages(messages.Filter()).messages] == [
        State.DROPPED
    ]


def test_senders_that_share_the_table_take_their_own_alone(database_url: str) -> None:
    migrate.migrate(database_url)
    connections = database.Database(database_url)
    of_ann = store_messages.PostgresMessageStore(connections, only=[ANN])
    of_others = store_messages.PostgresMessageStore(connections, but=[ANN])
    told(of_others, fires("a"), who=(ANN, BOB, EVE))
    assert claimed(of_ann).recipient == ANN
    assert of_ann.claim(at=at(5), limit=9) == ()
    assert [each.recipient for each in of_others.claim(at=at(5), limit=9)] == [BOB, EVE]
    assert [each.recipient for each in of_ann.in_doubt(before=at(9))] == [ANN]
    doubted = of_others.in_doubt(before=at(9))
    assert [each.recipient for each in doubted] == [BOB, EVE]
    for message in (*doubted, *of_ann.in_doubt(before=at(9))):
        of_others.settle(message, messages.Change(State.UNKNOWN), at=at(6))
    assert [each.recipient for each in of_ann.unanswered(since=at(0))] == [ANN]
    assert [each.recipient for each in of_others.unanswered(since=at(0))] == [BOB, EVE]
    connections.close()
