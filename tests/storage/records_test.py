import csv
import json
import math
import signal
import struct
import subprocess
import sys
import time

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from al_jax import tasks
from al_jax.storage import records


def a_record(**changes):
  values = {
    'system': 'margin',
    'seed': 3,
    'round': 1,
    'labels': 20,
    'trainable': 19,
    'steps': 57,
    'test': {'accuracy': 0.1 + 0.2, 'log_loss': 2.5},
    'test_class_accuracy': [1.0, None, 0.25],
    'train': {'loss': 1e-300, 'accuracy': 1.0},
    'seconds_fit': 0.5,
    'seconds_evaluate': 0.75,
    'seconds_measure': 0.25,
    'seconds_select': 0.125,
    'seconds_other': 0.0625,
    'picks': [7, 2],
    'pick_ids': ['seven', 2],
    'pick_classes': [0, 2, 0],
    'batch': {'log_det': 0.5},
    'compilations': 9,
  }
  return records.RoundRecord(**{**values, **changes})


any_float = st.floats(allow_nan=True, allow_infinity=True)


@hypothesis.settings(deadline=None)
@hypothesis.given(
  numbers=st.lists(any_float, min_size=4, max_size=4),
  names=st.lists(st.text(), unique=True, max_size=3),
  ids=st.lists(st.text() | st.integers()),
  classes=st.lists(st.none() | any_float),
)
def test_json_gives_back_every_bit(numbers, names, ids, classes):
  record = a_record(
    system=''.join(names),
    test=dict(zip(names, numbers, strict=False)),
    batch={'log_det': numbers[1]},
    seconds_fit=numbers[0],
    test_class_accuracy=classes,
    picks=list(range(len(ids))),
    pick_ids=ids,
  )
  line = record.to_json()
  assert '\n' not in line
  json.loads(line, parse_constant=pytest.fail)
  again = records.RoundRecord.from_json(line)
  assert again.to_json() == line
  assert again.pick_ids == ids
  for name, value in record.test.items():
    assert_same_float(again.test[name], value)
  for value, expected in zip(again.test_class_accuracy, classes, strict=True):
    if expected is None:
      assert value is None
    else:
      assert_same_float(value, expected)


def assert_same_float(value, expected):
  if math.isnan(expected):
    assert math.isnan(value)
  else:
    assert struct.pack('d', value) == struct.pack('d', expected)


def test_a_string_that_reads_nan_stays_a_string():
  record = a_record(system='NaN', pick_ids=['Infinity', 1])
  assert records.RoundRecord.from_json(record.to_json()) == record


def test_numpy_and_jax_values_become_plain():
  record = a_record(
    seed=np.int64(4),
    labels=jnp.int32(20),
    test={'accuracy': np.float32(0.1)},
    picks=np.array([5, 6]),
    pick_ids=np.array(['a', 'b']),
    pick_classes=jnp.array([1, 1]),
    seconds_fit=jnp.float32(0.5),
  )
  assert type(record.seed) is int
  assert type(record.pick_ids[0]) is str
  assert record.test == {'accuracy': float(np.float32(0.1))}
  assert records.RoundRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'seed': 1.5}, r'seed is 1\.5; it must be int'),
    ({'system': 3}, 'system is 3; it must be str'),
    ({'test': [0.5]}, 'test is .* dict'),
    ({'test': {'accuracy': 'high'}}, 'test is .* dict'),
    ({'picks': [1.5, 2]}, r'picks is .* list\[int\]'),
    ({'pick_ids': ['a']}, 'picks has 2 entries and pick_ids 1'),
  ],
)
def test_a_wrong_value_is_named(changes, message):
  with pytest.raises(ValueError, match=message):
    a_record(**changes)


def test_json_with_other_fields_is_refused():
  values = json.loads(a_record().to_json())
  with pytest.raises(ValueError, match=r"'label' .* mean 'labels'"):
    records.RoundRecord.from_json(json.dumps({**values, 'label': 1}))
  # Records of before there were any have no validation metrics.
  del values['validation']
  assert records.RoundRecord.from_json(json.dumps(values)) == a_record()
  del values['steps'], values['picks']
  with pytest.raises(ValueError, match='lacks: steps, picks'):
    records.RoundRecord.from_json(json.dumps(values))
  with pytest.raises(ValueError, match='JSON object'):
    records.RoundRecord.from_json('[1]')


def test_parts_are_written_where_there_are_any():
  parts = {'model': 'my.Net(width=5)', 'loss': 'focal'}
  record, plain = a_record(parts=parts), a_record()
  assert 'parts' not in json.loads(plain.to_json())
  assert 'parts' not in records.deterministic(plain)
  assert records.RoundRecord.from_json(record.to_json()) == record
  assert records.deterministic(record)['parts'] == parts
  # Numbers alone can be drawn.
  assert record.flat() == plain.flat()
  with pytest.raises(ValueError, match=r'parts is .* it must be dict'):
    a_record(parts={'loss': 3})


def test_names_of_before_are_read_as_those_of_today():
  train = {'loss': 0.5, 'pseudo_labels': 7.0, 'pseudo_label_accuracy': 0.5}
  now = a_record(train=train).to_json()
  before = now.replace('pseudo_labels', 'machine_labels')
  before = before.replace('pseudo_label_accuracy', 'machine_accuracy')
  assert before != now
  assert records.RoundRecord.from_json(before) == a_record(train=train)


def test_flat_has_the_scalars_by_dotted_name():
  flat = a_record().flat()
  assert flat['test.accuracy'] == 0.1 + 0.2
  assert flat['train.loss'] == 1e-300
  assert flat['batch.log_det'] == 0.5
  assert flat['labels'] == 20
  assert not any(isinstance(value, list | dict) for value in flat.values())


def test_deterministic_leaves_out_the_clock_and_the_process_only():
  record = a_record(test={'accuracy': math.nan})
  slower = a_record(
    test={'accuracy': math.nan},
    seconds_fit=9.0,
    seconds_evaluate=9.0,
    seconds_measure=9.0,
    seconds_select=9.0,
    seconds_other=9.0,
    compilations=0,
  )
  assert records.deterministic(record) == records.deterministic(slower)
  other = a_record(test={'accuracy': math.nan}, picks=[7, 3])
  assert records.deterministic(record) != records.deterministic(other)


def test_the_log_line_is_one_line_with_what_matters():
  line = records.log_line(a_record(), tasks.Classes.headline)
  assert '\n' not in line
  assert line == (
    'margin, seed 3, round 1: 20 labels, test accuracy 30.00%, 57 steps in '
    '0.50 s, asked in 0.38 s'
  )
  line = records.log_line(a_record(round=0), tasks.Classes.headline)
  assert line.endswith('asked in 0.38 s, compiling included')
  train = {'pseudo_labels': 2400.0, 'pseudo_label_accuracy': 0.8125}
  line = records.log_line(a_record(train=train), tasks.Classes.headline)
  assert line.endswith('asked in 0.38 s, 2,400 pseudo-labels (81.2% right)')
  # Without an oracle nobody knows how many are right.
  del train['pseudo_label_accuracy']
  line = records.log_line(a_record(train=train), tasks.Classes.headline)
  assert line.endswith('asked in 0.38 s, 2,400 pseudo-labels')


@pytest.mark.parametrize(
  ('measured', 'told'),
  [
    ({'test': {'rmse': 12.5, 'r2': 0.5}}, 'test RMSE 12.5000, 57 steps'),
    ({'test': {}, 'validation': {'rmse': 2.0}}, 'validation RMSE 2.0000, 57'),
    ({'test': {}}, '20 labels, no test split, 57 steps'),
  ],
)
def test_the_log_line_tells_the_headline_if_there_is_one(measured, told):
  record = a_record(test_class_accuracy=[], **measured)
  assert told in records.log_line(record, tasks.Vector.headline)


def test_jsonl_round_trips(tmp_path):
  rows = [a_record(round=r, test={'accuracy': math.nan}) for r in range(3)]
  path = tmp_path / 'records.jsonl'
  records.write_jsonl(path, rows)
  again = records.read_jsonl(path)
  assert [row.to_json() for row in again] == [row.to_json() for row in rows]
  assert list(tmp_path.iterdir()) == [path]


def test_lines_are_added_one_by_one(tmp_path):
  rows = [a_record(round=r) for r in range(3)]
  whole, grown = tmp_path / 'whole.jsonl', tmp_path / 'grown.jsonl'
  records.write_jsonl(whole, rows)
  records.write_jsonl(grown, rows[:1])
  for row in rows[1:]:
    records.append_jsonl(grown, row)
  assert grown.read_bytes() == whole.read_bytes()


def test_a_line_that_does_not_fit_is_not_begun(tmp_path):
  path = tmp_path / 'records.jsonl'
  records.write_jsonl(path, [a_record()])
  room = path.stat().st_size + 10
  code = (
    'import resource, signal, sys; from al_jax.storage import records\n'
    'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
    'row, = records.read_jsonl(sys.argv[1])\n'
    f'resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n'
    'records.append_jsonl(sys.argv[1], row)'
  )
  process = subprocess.run(
    [sys.executable, '-c', code, str(path)],
    capture_output=True,
    text=True,
    check=False,
  )
  assert process.returncode == 1
  assert str(path) in process.stderr.splitlines()[-1]
  assert len(records.read_jsonl(path)) == 1


def test_a_cut_line_is_named(tmp_path):
  path = tmp_path / 'records.jsonl'
  records.write_jsonl(path, [a_record(), a_record(round=2)])
  path.write_text(path.read_text()[:-30])
  with pytest.raises(ValueError, match=r'records\.jsonl, line 2'):
    records.read_jsonl(path)


def test_csv_has_every_column_and_whole_floats(tmp_path):
  path = tmp_path / 'records.csv'
  rows = [
    a_record(),
    a_record(
      system='joint',
      train={'energy': math.inf},
      seconds_fit=1 / 3,
      parts={'model': 'my.Net', 'loss': 'focal'},
    ),
  ]
  records.write_csv(path, rows)
  with open(path, newline='') as file:
    first, second = csv.DictReader(file)
  assert float(first['test.accuracy']) == 0.1 + 0.2
  assert first['train.energy'] == ''
  assert second['train.loss'] == ''
  assert float(second['train.energy']) == math.inf
  assert float(second['seconds_fit']) == 1 / 3
  assert (first['parts'], second['parts']) == ('', 'model my.Net, loss focal')
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('write', [records.write_jsonl, records.write_csv])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, write):
  path = tmp_path / 'file'
  write(path, [a_record()])
  before = path.read_bytes()

  def fails_half_way():
    yield a_record()
    raise RuntimeError('half way')

  with pytest.raises(RuntimeError, match='half way'):
    write(path, fails_half_way())
  assert path.read_bytes() == before
  assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
  path = tmp_path / 'records.jsonl'
  records.write_jsonl(path, [a_record()])
  code = (
    'import sys; from al_jax.storage import records\n'
    'rows = records.read_jsonl(sys.argv[1]) * 2000\n'
    'while True: records.write_jsonl(sys.argv[1], rows)'
  )
  process = subprocess.Popen([sys.executable, '-c', code, str(path)])
  while path.stat().st_size < 100_000:
    assert process.poll() is None
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert len(records.read_jsonl(path)) == 2000
  records.write_jsonl(path, [a_record()])
  assert list(tmp_path.iterdir()) == [path]
