import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from al_jax.storage import workdir

HOLD = """
import sys, time
from al_jax.storage import workdir
with workdir.Workdir(sys.argv[1]):
  print('locked', flush=True)
  time.sleep(600)
"""


def test_a_folder_is_made_marked_and_opened_again(tmp_path):
  with workdir.Workdir(tmp_path / 'a' / 'b') as place:
    assert place.path == tmp_path / 'a' / 'b'
    (place.path / 'records.jsonl').write_text('{}')
  before = sorted(place.path.iterdir())
  with workdir.Workdir(str(place.path)):
    assert sorted(place.path.iterdir()) == before


def test_a_second_holder_in_the_same_process_is_refused(tmp_path):
  with (
    workdir.Workdir(tmp_path),
    pytest.raises(workdir.WorkdirError, match=f'process {os.getpid()} on'),
  ):
    workdir.Workdir(tmp_path)
  workdir.Workdir(tmp_path).close()


def test_another_process_is_named_until_it_is_killed(tmp_path):
  with subprocess.Popen(
    [sys.executable, '-c', HOLD, tmp_path], stdout=subprocess.PIPE
  ) as process:
    assert process.stdout.readline() == b'locked\n'
    with pytest.raises(
      workdir.WorkdirError,
      match=rf'is in use by process {process.pid} on .*, started \d{{4}}-',
    ):
      workdir.Workdir(tmp_path)
    process.kill()
  workdir.Workdir(tmp_path).close()


def test_a_holder_that_has_not_written_its_name_is_not_misnamed(tmp_path):
  with workdir.Workdir(tmp_path):
    os.truncate(tmp_path / '.lock', 0)
    with pytest.raises(workdir.WorkdirError, match='has just started'):
      workdir.Workdir(tmp_path)


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
  (tmp_path / 'thesis.tex').write_text('mine')
  with pytest.raises(workdir.WorkdirError, match=r"'thesis.tex' is there"):
    workdir.Workdir(tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


def test_what_a_process_killed_while_marking_leaves_is_taken_over(tmp_path):
  (tmp_path / '.lock').touch()
  (tmp_path / '.al_jax.json.partial').touch()
  workdir.Workdir(tmp_path).close()
  names = sorted(path.name for path in tmp_path.iterdir())
  assert names == ['.al_jax.json', '.lock']


@pytest.mark.parametrize('below', ['file', 'file/run', '/proc/al_jax/run'])
def test_a_folder_that_cannot_be_made_is_named(tmp_path, below):
  if below.startswith('/proc') and not pathlib.Path('/proc').is_dir():
    pytest.skip('there is no /proc here')
  (tmp_path / 'file').touch()
  path = tmp_path / below
  with pytest.raises(workdir.WorkdirError) as caught:
    workdir.Workdir(path)
  assert str(caught.value).startswith(f'{path} cannot be made or written to: ')


def test_overwrite_clears_what_was_written_and_nothing_else(tmp_path):
  elsewhere = tmp_path / 'elsewhere'
  elsewhere.mkdir()
  (elsewhere / 'kept').touch()
  with workdir.Workdir(tmp_path / 'run') as place:
    (place.path / 'checkpoints' / 'margin' / '3').mkdir(parents=True)
    (place.path / 'tensorboard').symlink_to(elsewhere)
    (place.path / 'gallery_margin.png').touch()
    (place.path / 'floors.json').touch()
    (place.path / 'records.jsonl.partial').touch()
    (place.path / 'notes.txt').touch()
    place.overwrite()
    names = sorted(path.name for path in place.path.iterdir())
  assert names == ['.al_jax.json', '.lock', 'notes.txt']
  assert (elsewhere / 'kept').exists()


def test_the_manifest_is_the_first_to_be_cleared(tmp_path, monkeypatch):
  with workdir.Workdir(tmp_path) as place:
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'manifest.json').touch()

    def killed(path):
      raise KeyboardInterrupt

    monkeypatch.setattr(shutil, 'rmtree', killed)
    with pytest.raises(KeyboardInterrupt):
      place.overwrite()
  assert not (tmp_path / 'manifest.json').exists()
  assert (tmp_path / 'checkpoints').exists()


def test_too_little_space_is_said_with_both_sizes(tmp_path):
  with workdir.Workdir(tmp_path) as place:
    place.require_space(1)
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(workdir.WorkdirError, match=r'has no space left.*MB'):
      place.require_space(2 * free)


@pytest.mark.parametrize(
  'name', ['..', '.', '', '/etc', 'a/b', 'a\0', 'a\n', '.hidden', '-x', None]
)
def test_a_name_that_leads_out_of_a_folder_is_refused(tmp_path, name):
  with pytest.raises(workdir.WorkdirError, match='names no folder'):
    workdir.below(tmp_path, 'seed', name)


def test_names_lead_below_a_folder_that_may_be_a_link_itself(tmp_path):
  (tmp_path / 'real').mkdir()
  (tmp_path / 'link').symlink_to(tmp_path / 'real')
  path = workdir.below(tmp_path / 'link', 'few-1.5+x', 'seed_0')
  assert path == tmp_path / 'link' / 'few-1.5+x' / 'seed_0'


@pytest.mark.parametrize('linked', ['a', 'a/b'])
def test_a_link_on_the_way_is_refused(tmp_path, linked):
  (tmp_path / 'a').mkdir() if linked == 'a/b' else None
  (tmp_path / linked).symlink_to(tmp_path)
  with pytest.raises(workdir.WorkdirError, match=f'{linked} is a link'):
    workdir.below(tmp_path, 'a', 'b')


@pytest.mark.parametrize('name', ['checkpoints', 'gallery_x.png', 'report'])
def test_an_output_that_is_a_link_is_refused(tmp_path, name):
  elsewhere = tmp_path / 'elsewhere'
  elsewhere.mkdir()
  folder = tmp_path / 'run'
  workdir.Workdir(folder).close()
  (folder / name).symlink_to(elsewhere)
  with pytest.raises(workdir.WorkdirError, match=f'{name} is a link'):
    workdir.Workdir(folder)


@pytest.mark.parametrize('name', ['manifest.json', 'records.jsonl'])
def test_a_pipe_among_the_outputs_is_refused(tmp_path, name):
  workdir.Workdir(tmp_path).close()
  os.mkfifo(tmp_path / name)
  with pytest.raises(workdir.WorkdirError, match='neither a file nor a fol'):
    workdir.Workdir(tmp_path)


def test_a_lock_that_is_a_hard_link_is_not_written_through(tmp_path):
  thesis = tmp_path / 'thesis.tex'
  thesis.write_text('years')
  folder = tmp_path / 'run'
  folder.mkdir()
  (folder / '.lock').hardlink_to(thesis)
  (folder / '.al_jax.json').write_text('{}')
  with pytest.raises(workdir.WorkdirError, match='hard link'):
    workdir.Workdir(folder)
  assert thesis.read_text() == 'years'


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path):
  (tmp_path / 'thesis.tex').write_text('years of work')
  folder = tmp_path / 'run'
  folder.mkdir()
  (folder / '.lock').symlink_to(tmp_path / 'thesis.tex')
  with pytest.raises(workdir.WorkdirError, match='cannot be made or written'):
    workdir.Workdir(folder)
  assert (tmp_path / 'thesis.tex').read_text() == 'years of work'
