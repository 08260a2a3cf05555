"""Streams, from a config: what is written, what is refused."""

import itertools

import pytest

from al_jax.commands import report
from al_jax.commands import stream as command
from al_jax.runner import cells, checks, defaults, identity, runs
from al_jax.runner import config as config_lib
from al_jax.storage import manifest, records
from tests.commands import run_test

QUIET = cells.How(quiet=True)


def a_config(systems='least_confidence', protocol=(), **stream):
  config = defaults.get_config()
  config.data.transforms = (
    {'name': 'cap', 'train': 300, 'test': 50},
    {'name': 'drift', 'kind': 'abrupt', 'at': 0.4},
  )
  config.learner.stop.epochs = 2
  config.protocol.rounds = 9
  config.protocol.first_set = 'first'
  config.protocol.first_size = 20
  config.protocol.labels_per_round = 10
  plain = manifest.plain_config(config.to_dict())
  plain['systems'] = systems
  plain['model'] = {'name': 'mlp', 'widths': [8]}
  plain['stream'] = stream
  plain['protocol'].update(protocol)
  return plain


def prepared(config):
  return config_lib.prepare({name: config[name] for name in checks.FIELDS})


def run(folder, config):
  runs.run(config, runs.cells_of(config), folder, QUIET)
  return records.read_jsonl(folder / 'records.jsonl')


def test_a_run_writes_a_figure_and_a_report(tmp_path):
  config = a_config(['random', 'least_confidence'], manager='balanced')
  rows = run(tmp_path / 'run', config)
  for system in config['systems']:
    of_system = [row for row in rows if row.system == system]
    assert of_system[0].labels == 20
    seen = [row.batch['seen'] for row in of_system if row.batch]
    assert seen == sorted(seen) and seen[-1] == 300
    for row, after in itertools.pairwise(of_system):
      assert after.labels == row.labels + len(row.picks)
  assert (tmp_path / 'run' / 'stream.png').stat().st_size > 1000
  report.write_report(tmp_path / 'run')
  page = (tmp_path / 'run' / 'report.html').read_text()
  assert 'examples of the stream' in page or 'the share that the model' in page


def test_lookahead_is_no_part_of_what_a_run_is():
  identities = [
    identity.identity_of(
      prepared(a_config(manager='balanced', lookahead=lookahead)),
      'least_confidence',
    )
    for lookahead in (7, 64)
  ]
  assert identities[0] == identities[1]


def test_a_config_without_the_field_is_no_stream():
  config = {name: a_config()[name] for name in checks.FIELDS}
  del config['stream']
  assert identity.upgraded(config)['stream'] == {}


def _with(field, value, **stream):
  return {**a_config(**(stream or {'manager': 'balanced'})), field: value}


def _describing(**options):
  default = {'batches': False, 'dropout_samples': 0, 'probe': None}
  return _with('describe', {**default, **options})


@pytest.mark.parametrize(
  ('config', 'message'),
  [
    (a_config(budget=0.1), 'needs a `manager` or a `batch_window`'),
    (a_config(manager='balancd'), "Did you mean 'balanced'"),
    (a_config(manager='balanced', budgt=1), "'budgt'.*Did you mean 'budget'"),
    (a_config(manager='quantile', tolerance=9), 'only balanced and chance'),
    (a_config(batch_window=100, manager='fixed'), 'no manager: leave one'),
    (a_config(manager='fixed', protocol={'first_set': 'uniform'}), "'first'"),
    (a_config(batch_window=100, budget=0.03), 'a multiple of the 3 queries'),
    (_with('subset_size', 50), 'config.subset_size is set, but with config.s'),
    (_with('prefilter', {'name': 'margin', 'size': 50}), 'config.prefilter is'),
    (_with('synthesis', {'name': 'prior'}), 'config.synthesis is set, but wi'),
    (_with('pretraining', {'name': 'deep_cluster'}), 'config.pretraining is'),
    (
      _with('oracle', {'annotator': 'machine', 'noise': 0.0, 'abstain': 0.0}),
      "answers with the model's prediction",
    ),
    (_describing(batches=True), 'config.describe.batches looks over the pool'),
    (_describing(probe=True), 'config.describe.probe looks over the pool'),
  ],
)
def test_what_does_not_fit_is_refused(config, message):
  with pytest.raises(ValueError, match=message):
    prepared(config)


def test_systems_that_see_the_future_are_refused():
  experiment = prepared(a_config(manager='balanced'))
  with pytest.raises(ValueError, match='it would see the future'):
    config_lib.system_of(experiment, 'label_propagation+entropy')


def test_the_command_runs_a_stream_and_says_what_it_costs(capsys, tmp_path):
  stream = "--config.stream={'manager': 'balanced'}"
  how = (
    '--config.protocol.first_set=first',
    '--config.protocol.first_size=10',
  )
  assert run_test.call(*run_test.ALONE, *how, command=command) == 1
  assert 'the config has no stream' in capsys.readouterr().err
  status = run_test.call(
    *run_test.ALONE, *how, stream, '--dry_run', command=command
  )
  assert status == 0
  assert '"manager": "balanced"' in capsys.readouterr().out
