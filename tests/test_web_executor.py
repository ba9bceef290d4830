"""The fair executor: whose call is next."""

import queue
import threading

import pytest
from serving import wait_for

from hyperrestore.web.executor import FairExecutor


@pytest.fixture
def executor():
    made = FairExecutor("test", most=5)
    yield made
    made.close()


class Held:
    """Keeps the thread busy until it is released, and notes the order of the calls that follow."""

    def __init__(self, executor, **options):
        self._gate = threading.Event()
        self.order = []
        begun = threading.Event()
        self.future = executor.submit("held", lambda: (begun.set(), self._gate.wait(20)), **options)
        assert begun.wait(20)

    def note(self, name):
        return lambda: self.order.append(name) or name

    def release(self):
        self._gate.set()


def test_a_call_gives_its_result_or_its_error(executor):
    assert executor.submit("a", lambda: 5).result(20) == 5
    with pytest.raises(ZeroDivisionError):
        executor.submit("a", lambda: 1 / 0).result(20)
    assert executor.submit("a", lambda: 6).result(20) == 6, "the thread lives on"


def test_pages_take_turns_and_the_newest_call_of_each_comes_first(executor):
    held = Held(executor)
    futures = [executor.submit(name[0], held.note(name)) for name in ("a1", "a2", "a3", "b1", "b2", "c1")]
    held.release()
    assert [future.result(20) for future in futures] == ["a1", "a2", "a3", "b1", "b2", "c1"]
    assert held.order == ["a3", "b2", "c1", "a2", "b1", "a1"]


def test_background_comes_last_and_in_order(executor):
    held = Held(executor)
    for name in ("a1", "a2", "b1"):
        executor.submit(name[0], held.note(f"back {name}"), background=True)
    last = executor.submit("a", held.note("a"))
    held.release()
    last.result(20)
    wait_for(lambda: len(held.order) == 4)
    assert held.order == ["a", "back a1", "back b1", "back a2"]


def test_a_background_call_gives_way_in_its_midst(executor):
    order = []
    begun, asked = threading.Event(), threading.Event()

    def long():
        begun.set()
        assert asked.wait(20)
        executor.give_way()
        order.append("long")

    future = executor.submit("a", long, background=True)
    assert begun.wait(20)
    other = executor.submit("b", lambda: order.append("other"), background=True)
    view = executor.submit("b", lambda: order.append("view"))
    asked.set()
    for each in (future, other, view):
        each.result(20)
    assert order == ["view", "long", "other"]


def test_what_is_cancelled_or_dropped_never_runs(executor):
    held = Held(executor)
    kept = executor.submit("a", held.note("kept"))
    cancelled = executor.submit("a", held.note("cancelled"))
    dropped = [executor.submit("b", held.note("dropped"), background=back) for back in (False, True)]
    assert cancelled.cancel()
    executor.drop("b")
    assert all(future.cancelled() for future in dropped)
    held.release()
    kept.result(20)
    executor.submit("c", held.note("end"), background=True).result(20)
    assert held.order == ["kept", "end"]


def test_a_page_cannot_fill_the_queue(executor):
    held = Held(executor)
    waiting = [executor.submit("a", held.note(number), background=number % 2 == 0) for number in range(5)]
    with pytest.raises(queue.Full, match="5 requests of this page are already waiting"):
        executor.submit("a", held.note("too many"))
    executor.submit("b", held.note("b"))
    waiting[3].cancel()
    executor.submit("a", held.note("instead"))
    held.release()
    wait_for(lambda: len(held.order) == 6)
    assert "too many" not in held.order
    assert 3 not in held.order


def test_quiet_is_when_nothing_runs_or_waits_in_the_foreground(executor):
    quiet = threading.Event()

    def watch():
        executor.wait_until_quiet(20)
        quiet.set()

    held = Held(executor)
    watcher = threading.Thread(target=watch)
    watcher.start()
    executor.wait_until_quiet(0.05)  # gives up in time
    assert not quiet.is_set()
    held.release()
    assert quiet.wait(20)
    watcher.join(20)
    back = Held(executor, background=True)
    executor.wait_until_quiet(20)  # the background is no reason to wait
    assert not back.future.done()
    back.release()


def test_closing_takes_back_what_has_not_begun(executor):
    held = Held(executor)
    waiting = executor.submit("a", held.note("a"))
    closing = threading.Thread(target=executor.close)
    closing.start()
    wait_for(waiting.cancelled)
    held.release()
    closing.join(20)
    assert not closing.is_alive()
    assert held.order == []
    with pytest.raises(queue.Full, match="being stopped"):
        executor.submit("a", held.note("late"))


def test_several_threads_run_as_many_calls_at_a_time():
    executor, meeting = FairExecutor("test", most=5, threads=2), threading.Barrier(2)
    futures = [executor.submit(page, lambda: meeting.wait(20), background=True) for page in "aa"]
    assert {future.result(20) for future in futures} == {0, 1}
    executor.close()
    assert not any(thread.is_alive() for thread in executor._threads)
