import json

import numpy as np
import pytest

from al_jax import tasks

CLASS = tasks.numbered(2)


def test_the_parts_of_a_task_are_those_of_its_targets():
  one, two = tasks.Classes(('a', 'b')), tasks.Vector(3)
  assert tasks.parts_of(one) == {'': one}
  mixed = tasks.Mixed({'kind': one, 'at': two})
  assert tasks.parts_of(mixed) == {'kind': one, 'at': two}


def test_own_metrics_have_names_in_a_file_and_do_not_come_back():
  task = tasks.Mixed({'kind': CLASS}, own_metrics={'mine': lambda p, t: p})
  written = tasks.to_json(task)
  assert written['own_metrics'] == ['mine']
  found = tasks.from_json(written)
  assert found.metrics == task.metrics
  predictions = targets = {'kind': np.zeros(2, np.int32)}
  with pytest.raises(ValueError, match=r"the metric 'mine' is a function of"):
    dict(found.own_metrics)['mine'](predictions, targets)


def test_a_share_of_the_user_keeps_its_unit_in_a_file():
  def mine(predictions, targets):
    return predictions

  mine.unit = '%'
  task = tasks.Mixed({'kind': CLASS}, own_metrics={'mine': mine})
  written = json.loads(json.dumps(tasks.to_json(task)))
  assert written['own_metrics'] == [{'name': 'mine', 'unit': '%'}]
  found = tasks.from_json(written)
  assert found.metrics[-1] == tasks.Metric('mine', '%', True)
  assert found.metrics == task.metrics
  # And again, as from a cache into a manifest.
  assert tasks.to_json(found) == written


def test_a_metric_of_the_library_comes_back_whole():
  task = tasks.detection(('a', 'b'), scale=np.float32(32), box_weight=2.0)
  written = json.loads(json.dumps(tasks.to_json(task)))
  assert tasks.from_json(written) == task
  assert hash(tasks.from_json(written)) == hash(task)
  written['own_metrics'][0]['kind'] = 'fond'
  with pytest.raises(ValueError, match=r"'fond' is not known.*'found'"):
    tasks.from_json(written)


def test_a_task_that_is_no_task_is_refused():
  with pytest.raises(ValueError, match=r'is not a task .* one of classes'):
    tasks.to_json(('ant', 'bee'))


def test_a_scale_is_the_same_whatever_type_it_is_given_in():
  found = [
    json.dumps(tasks.to_json(tasks.Vector(size, scale)))
    for size, scale in ((2, 3), (2, 3.0), (np.int64(2), np.float32(3)))
  ]
  assert len(set(found)) == 1


def test_parts_are_not_mixed_themselves():
  inner = tasks.Mixed({'kind': CLASS})
  with pytest.raises(ValueError, match=r'parts\.both is mixed itself'):
    tasks.Mixed({'kind': CLASS, 'both': inner})
