"""`al-jax watch`, called as a shell would."""

import os
import re
import signal
import subprocess
import sys
import urllib.request

from tests.commands.commands_test import ROOT
from tests.pages import made


def started(*arguments):
  return subprocess.Popen(
    [sys.executable, '-m', 'al_jax', 'watch', *map(str, arguments)],
    cwd=ROOT,
    env={**os.environ, 'PYTHONUNBUFFERED': '1'},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_it_serves_until_it_is_ended_and_says_no_more(tmp_path):
  first = made.a_run(tmp_path / 'first', made.the_rows())
  second = made.a_run(tmp_path / 'second', made.the_rows())
  process = started(first, f'--workdir={second}')
  try:
    line = process.stdout.readline()
    found = re.fullmatch(r'Open (http://127.0.0.1:\d+/)#token=\S{20,}\n', line)
    assert found, line + process.stderr.read()
    assert process.stdout.readline() == 'Ctrl-C ends it.\n'
    with urllib.request.urlopen(found[1]) as answer:
      assert b'watch.js' in answer.read()
    # An open page does not keep it from ending.
    with urllib.request.urlopen(f'{found[1]}events') as answer:
      answer.readline(), answer.readline(), answer.readline()
      news = answer.readline() + answer.readline()
      assert str(first).encode() in news and str(second).encode() in news
      process.send_signal(signal.SIGINT)
      out, err = process.communicate(timeout=60)
  finally:
    process.kill()
  assert (out, err, process.returncode) == ('', '', 0)


def test_what_is_wrong_is_told_in_a_sentence():
  out, err = started('/absent/run').communicate(timeout=300)
  assert not out
  assert err == (
    "ValueError: WORKDIR is '/absent/run', which is not a folder; name the "
    'folder of a run.\n'
  )
