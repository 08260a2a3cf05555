import asyncio
import threading

import pytest

from al_jax.storage import _background


class Recorder:
  """Work that notes its jobs, and waits to be let go."""

  def __init__(self):
    self.done = []
    self.begun = threading.Semaphore(0)
    self.go_on = threading.Semaphore(0)

  def __call__(self, job):
    self.begun.release()
    self.go_on.acquire()
    if job == 'fails':
      raise OSError('it failed')
    self.done.append(job)

  def release_all(self):
    for _ in range(10):
      self.go_on.release()


def test_jobs_are_done_in_order_while_the_caller_goes_on():
  recorder = Recorder()
  thread = _background.Background(recorder)
  thread.put('a')
  recorder.begun.acquire()
  thread.put('b')  # returns though nothing is done
  assert recorder.done == []
  recorder.release_all()
  thread.close()
  assert recorder.done == ['a', 'b']


@pytest.mark.parametrize('kind', [asyncio.CancelledError, SystemExit])
def test_what_is_no_exception_ends_no_thread_either(kind):
  done = []

  def work(job):
    if job == 'fails':
      raise kind
    done.append(job)

  thread = _background.Background(work)
  thread.put('fails')
  # Waiting for a thread that is gone would take for ever.
  waiting = threading.Thread(target=lambda: _outcome(thread.wait, done))
  waiting.daemon = True
  waiting.start()
  waiting.join(10)
  assert done == [kind]
  thread.put('a')
  thread.close()
  assert done == [kind, 'a']


def _outcome(function, found):
  try:
    function()
  except BaseException as error:
    found.append(type(error))


def test_a_newer_job_takes_the_place_of_a_replaceable_one_only():
  recorder = Recorder()
  thread = _background.Background(recorder)
  thread.put('under way', replaceable=True)
  recorder.begun.acquire()
  thread.put('dropped', replaceable=True)
  thread.put('kept')
  late = threading.Thread(target=thread.put, args=['after'])
  late.start()
  late.join(0.1)
  assert late.is_alive()  # it waits for its place
  recorder.release_all()
  late.join()
  thread.close()
  assert recorder.done == ['under way', 'kept', 'after']


@pytest.mark.parametrize('call', ['put', 'wait', 'close'])
def test_an_error_is_raised_by_the_next_call_and_only_once(call):
  recorder = Recorder()
  thread = _background.Background(recorder)
  thread.put('fails')
  recorder.begun.acquire()
  thread.put('waiting')
  recorder.release_all()
  with pytest.raises(OSError, match='it failed'):
    while True:  # until the thread has come to the error
      getattr(thread, call)(*(['more'] if call == 'put' else []))
  thread.close()
  assert 'waiting' in recorder.done


def test_nothing_can_be_put_after_closing():
  thread = _background.Background(print)
  thread.close()
  thread.close()
  with pytest.raises(ValueError, match='closed'):
    thread.put('late')
