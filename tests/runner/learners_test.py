"""Learners that use what has no label: through the loop, and from a config."""

import numpy as np
import pytest

from al_jax import loop, oracle
from al_jax.loop import program, protocol
from al_jax.runner import grid
from al_jax.storage import manifest, records
from tests.commands import run_test
from tests.factories import a_system, a_task, stopped_at_every_save

PROTOCOL = protocol.Protocol(
  rounds=3, labels_per_round=10, first_size=20, save_every_steps=3
)
CONFIG = """
from ml_collections import ConfigDict
from al_jax.runner import defaults
def get_config():
  config = defaults.get_config()
  config.systems = (
    'random', 'joint+random', 'label_propagation+random', 'supervised+margin',
  )
  config.model.widths = (16,)
  config.data.transforms = ({'name': 'cap', 'train': 120, 'test': 50},)
  config.learner.stop.epochs = 3
  config.protocol.rounds = 2
  config.protocol.first_size = 20
  config.protocol.labels_per_round = 10
  config.learner.joint.entropy_weight = 0.3
  config.learner.label_propagation.neighbors = 5
  return config
"""


@pytest.fixture(scope='module')
def compiled():
  """A program for a system with each learner, and who answers."""
  dataset, facts = a_task()
  options = {
    'joint': {},
    'propagation_jlp': {'neighbors': 10},
    'ceal': {'threshold': 2.0},
    'learning_loss': {'width': 8},
  }
  programs = {
    name: program.compile_program(
      a_system(name, facts=facts, learner={'stop': {'epochs': 3}, **of_it}),
      program.sources_of(dataset),
      dataset.train.ids,
    )
    for name, of_it in options.items()
  }
  return programs, oracle.SimulatedOracle(dataset.train.targets, dataset.task)


def results(rows):
  return [records.deterministic(row) for row in rows]


@pytest.mark.parametrize(
  'name', ['joint', 'propagation_jlp', 'ceal', 'learning_loss']
)
def test_a_round_that_was_stopped_goes_on_bit_for_bit(name, compiled, tmp_path):
  programs, answers = compiled
  whole = list(loop.run_rounds(programs[name], answers, PROTOCOL, [0]))
  assert [row.labels for row in whole] == [20, 30, 40]
  found, stops = stopped_at_every_save(
    programs[name], answers, PROTOCOL, tmp_path / 'stopped'
  )
  assert stops > 1
  assert results(found) == results(whole)
  # The first rounds compile all that there is to compile.
  assert whole[1].compilations == whole[2].compilations


def test_pseudo_labels_are_counted_and_compared_with_the_truth(compiled):
  programs, answers = compiled
  for name in ('propagation_jlp', 'ceal'):
    rows = list(loop.run_rounds(programs[name], answers, PROTOCOL, [0]))
    counts = [row.train['pseudo_labels'] for row in rows]
    assert counts[-1] > 0
    assert 0 < rows[-1].train['pseudo_label_accuracy'] <= 1
    if name == 'ceal':
      # There is no model before the first round.
      assert counts[0] == 0
      assert np.isnan(rows[0].train['pseudo_label_accuracy'])
    # They are not paid for.
    assert [row.labels for row in rows] == [20, 30, 40]
  (row, *_) = loop.run_rounds(programs['joint'], answers, PROTOCOL, [0])
  assert 'pseudo_labels' not in row.train


def test_a_collapse_is_a_warning_that_names_the_round(compiled, caplog):
  dataset, facts = a_task()
  system = a_system(
    'joint_random',
    facts=facts,
    learner={'entropy_weight': 80.0, 'stop': {'epochs': 200}},
  )
  collapsing = program.compile_program(
    system, program.sources_of(dataset), dataset.train.ids
  )
  few = protocol.Protocol(rounds=1, labels_per_round=1, first_size=1)
  (row,) = loop.run_rounds(collapsing, compiled[1], few, [0])
  assert row.train['collapsed'] == 1
  assert "round 0, seed 0: system 'joint_random' predicts" in caplog.text


def test_learners_run_under_one_strategy(tmp_path):
  path = tmp_path / 'learners.py'
  path.write_text(CONFIG)
  workdir = tmp_path / 'run'
  flags = (f'--config={path}', '--quiet', f'--workdir={workdir}')
  assert run_test.call(*flags) == 0
  first = {}
  for row in records.read_jsonl(workdir / 'records.jsonl'):
    first.setdefault(row.system, row)
  # A system has its published name, however it was written.
  names = ['random', 'joint_random', 'propagation_random', 'margin']
  assert list(first) == names
  assert manifest.read(workdir / 'manifest.json')['systems'] == names
  assert {path.name for path in (workdir / 'checkpoints').iterdir()} == {*names}
  told = ('loss', 'unlabelled_entropy', 'pseudo_labels', 'loss')
  for name, metric in zip(names, told, strict=True):
    assert metric in first[name].train
  # All begin from the same labels: what is left is drawn from alike.
  assert len({tuple(first[name].picks) for name in names[:3]}) == 1
  assert first['random'].test != first['propagation_random'].test


def test_an_option_of_another_learner_is_refused(tmp_path, capsys):
  flags = ('--config=configs/quickstart.py', f'--workdir={tmp_path / "run"}')
  told = run_test.told_by(capsys, *flags, '--config.learner.entropy_weight=0.1')
  assert "config.learner has no option 'entropy_weight' for the systems" in told
  assert 'As config.learner.joint.entropy_weight it is for' in told


def test_a_learner_is_a_part_of_the_system(tmp_path, capsys):
  flags = ('--config=configs/quickstart.py', f'--workdir={tmp_path / "run"}')
  told = run_test.told_by(capsys, *flags, '--config.learner.name=joint')
  named = 'joint+random,joint+margin,joint+badge'
  assert f'write config.systems={named} instead' in told
  told = run_test.told_by(capsys, *flags, '--config.systems=joined+random')
  assert "learner 'joined' is not known. Did you mean 'joint'" in told
  told = run_test.told_by(capsys, *flags, '--config.systems=joint+badges')
  assert "strategy 'badges' is not known. Did you mean 'badge'" in told
  told = run_test.told_by(
    capsys, *flags, '--config.systems=margin,supervised+margin'
  )
  assert 'it must name different systems' in told


def test_a_field_of_what_is_not_there_is_one_line(tmp_path, capsys):
  told = run_test.told_by(
    capsys,
    *('--config=configs/quickstart.py', f'--workdir={tmp_path}'),
    '--config.pretraining.stop.epochs=3',
  )
  assert told == (
    '--config.pretraining.stop.epochs is set, and the config has no '
    'config.pretraining.stop yet: give all of it, '
    '--config.pretraining.stop="{\'epochs\': 3}".\n'
  )


def test_a_learner_in_a_grid_keeps_the_options_of_all():
  base = {
    'learner': {'batch_size': 16, 'stop': {'epochs': 2}, 'joint': {}},
    'systems': ['random'],
  }
  changes = {'learner': {'joint': {'entropy_weight': 1.0}}}
  (found,) = grid.cells({**base, 'grid': {'a': {'x': changes}}})
  assert found.config['learner'] == {
    **base['learner'],
    'joint': {'entropy_weight': 1.0},
  }
