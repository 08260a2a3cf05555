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
