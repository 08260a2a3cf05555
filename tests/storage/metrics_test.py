import pytest

from al_jax.storage import metrics
from al_jax.tasks import Metric

RMSE = Metric('rmse', '', False)


@pytest.mark.parametrize(
  ('name', 'spelled'),
  [
    ('test.accuracy', 'test accuracy'),
    ('log_loss', 'log loss'),
    ('test.mc_rmse', 'test mc RMSE'),
    ('validation.box.iou', 'validation box IoU'),
    ('r2', 'R²'),
    ('test.within_0.1_of_scale', 'test within 0.1 of scale'),
    ('log_loss, MC-dropout', 'log loss, MC-dropout'),
  ],
)
def test_names_are_spelled_for_people(name, spelled):
  assert metrics.spelled(name) == spelled


def test_a_column_keeps_unit_and_direction():
  assert metrics.column(RMSE) == Metric('test.rmse', '', False)
  assert metrics.column(RMSE, 'validation').name == 'validation.rmse'


def test_shares_are_in_percent_and_others_are_not():
  assert metrics.number(0.9361, metrics.ACCURACY) == '93.61'
  assert metrics.number(0.01, metrics.ACCURACY, signed=True) == '+1.00'
  assert metrics.number(55.25, RMSE) == '55.2500'
  assert metrics.with_unit('area', metrics.ACCURACY) == 'area %'
  assert metrics.with_unit('area', RMSE) == 'area'
