from al_jax.analysis import naming
from al_jax.strategies import STRATEGIES
from tests.factories import a_record

CHEATING = 'learning_loss+experiments.diagnostics.cheating.loss_that_cheats'


def test_a_dotted_path_is_called_by_its_last_part():
  found = naming.short(['random', 'my.module.learner+margin', CHEATING])
  assert found == {
    'random': 'random',
    'my.module.learner+margin': 'learner+margin',
    CHEATING: 'learning_loss+loss_that_cheats',
  }
  # No dotted path: a number of a version.
  assert naming.short(['mine-v1.5']) == {'mine-v1.5': 'mine-v1.5'}


def test_a_name_that_would_be_taken_for_another_stays_whole():
  of_library = f'supervised+mine.{min(STRATEGIES)}'
  twins = 'supervised+a.mine', 'supervised+b.mine'
  for names in ([of_library], twins, ['ceal+mine', 'ceal+a.mine']):
    assert naming.short(names) == {name: name for name in names}


def test_records_are_renamed_and_otherwise_the_same():
  rows = [a_record('random'), a_record(CHEATING, labels=20)]
  short = 'learning_loss+loss_that_cheats'
  assert naming.readable(rows) == [rows[0], a_record(short, labels=20)]


def test_who_cheats_says_so_at_the_end_of_the_name():
  assert naming.cheats(CHEATING) and naming.cheats('a_b_that_cheats')
  assert not naming.cheats('that_cheats_not')
