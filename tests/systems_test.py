import dataclasses
import hashlib
import pathlib

import flax.linen as nn
import jax.numpy as jnp
import pytest
from flax import nnx

from al_jax import parts, strategies, systems, tasks
from al_jax.interfaces import Strategy
from al_jax.learners import LEARNERS
from tests.factories import a_system, a_task


@pytest.fixture(scope='module')
def facts():
  return a_task()[1]


def test_every_system_can_be_built(facts):
  for name in systems.SYSTEMS:
    assert a_system(name, facts=facts, dropout=0.2).name == name


MLP = {'name': 'mlp', 'widths': (8,)}


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'model': None}, 'model is None; it must be a mapping'),
    ({'model': 'mlp'}, "model is 'mlp'; it must be a mapping"),
    ({'model': {}}, 'it needs a `name`'),
    ({'model': {'name': ['mlp']}}, r"model \['mlp'\] is not known"),
    ({'model': {**MLP, 'widths': 3}}, 'widths is 3; it must be a list'),
    ({'model': {**MLP, 'widths': (1.5,)}}, r'a width in widths is 1\.5'),
    ({'model': {**MLP, 'dropout': '0.5'}}, "dropout is '0.5'; .* a number"),
    ({'learner': 3}, 'learner is 3; it must be a mapping'),
    ({'learner': {'batch': 1}}, "no option 'batch'. Did you mean 'batch_size'"),
    ({'learner': {'batch_size': 1.5}}, r'batch_size is 1\.5; .* whole'),
    ({'learner': {'weights': None}}, 'weights None is not known'),
    ({'learner': {'augment': None}}, 'augment is None; it must be a list'),
    ({'learner': {'stop': 5}}, 'stop is 5; it must be a mapping'),
    ({'learner': {'stop': {'epoch': 5}}}, "Did you mean 'epochs'"),
    ({'learner': {'stop': {'epochs': 10**12}}}, 'at most 2,147,483,647'),
    ({'learner': {'stop': {'train_accuracy': 'x'}}}, "train_accuracy is 'x'"),
    ({'learner': {'optimizer': 'adam'}}, "optimizer is 'adam'; .* a mapping"),
    ({'learner': {'optimizer': {'nesterov': 'abc'}}}, "nesterov is 'abc'"),
    ({'learner': {'optimizer': {'momentum': None}}}, 'momentum is None'),
    ({'strategy': 5}, 'strategy is 5; it must be a mapping'),
    ({'strategy': {'num_samples': 'x'}}, 'num_samples'),
    ({'strategy': {'num_samples': 1.5}}, r'num_samples is 1\.5'),
    ({'subset_size': 1.5}, r'subset_size is 1\.5'),
    ({'prefilter': 'entropy'}, "prefilter is 'entropy'; .* a mapping"),
    ({'prefilter': {'name': 'entropy'}}, "prefilter has no 'size'"),
    ({'prefilter': {'name': ['a'], 'size': 9}}, 'strategy .* is not known'),
    ({'prefilter': {'name': 'entropy', 'size': 'x'}}, "prefilter.size is 'x'"),
  ],
)
def test_options_of_the_wrong_type_are_refused_in_a_line(
  facts, options, message
):
  with pytest.raises(ValueError, match=message) as caught:
    systems.build('margin', facts, **{'model': MLP, **options})
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', [None, ['margin'], 'margn'])
def test_a_system_that_is_none_is_refused(facts, name):
  with pytest.raises(ValueError, match=r'system .* is not known'):
    systems.build(name, facts, model=MLP)


@pytest.mark.parametrize('shape', [(), (2,)])
def test_a_strategy_of_ones_own_measures_a_row_per_example(facts, shape):
  strategy = Strategy(
    init=lambda facts: (),
    measure=lambda key, apply, batch: jnp.zeros(shape),
    select=None,
  )
  with pytest.raises(ValueError, match='measurement of 3 examples'):
    systems.build('mine', facts, model=MLP, strategy=strategy)


class Net(nn.Module):
  """Logits alone, by default; its last layer has no name."""

  width: int = 4
  has_embedding: bool = False
  outputs: int = 10

  @nn.compact
  def __call__(self, inputs):
    hidden = nn.relu(nn.Dense(self.width)(inputs.reshape(len(inputs), -1)))
    logits = nn.Dense(self.outputs)(hidden)
    return (logits, hidden) if self.has_embedding else logits


class Bridged(nnx.Module):
  """The bridge draws its weights at every call; there is no dropout."""

  def __init__(self, *, rngs):
    self.head = nnx.Linear(64, 10, rngs=rngs)

  def __call__(self, inputs):
    return self.head(inputs.reshape(len(inputs), -1))


def a_learner(model, facts):
  return LEARNERS['supervised'](model, facts, stop={'epochs': 2})


def unchanged(key, image):
  return image


OWN = strategies.margin()


@pytest.mark.parametrize(
  ('name', 'given'),
  [
    ('mine', {'strategy': OWN}),
    ('mine', {'strategy': strategies.margin}),
    ('supervised+mine', {'strategy': OWN}),
    ('ceal+mine', {'strategy': OWN}),
    ('mine+margin', {'learner': a_learner}),
    ('mine+margin', {'learner': a_learner, 'strategy': {'num_samples': 0}}),
    ('mine', {'learner': a_learner, 'strategy': OWN}),
    ('a.b+c-1', {'learner': a_learner, 'strategy': OWN}),
  ],
)
def test_a_system_of_ones_own_parts_has_the_name_it_is_given(
  facts, name, given
):
  built = systems.build(name, facts, model=MLP, **given)
  assert built.name == name
  assert {*built.own} == {
    kind for kind, part in given.items() if not isinstance(part, dict)
  }
  learner = 'ceal' if 'ceal' in name else 'supervised'
  surveys = systems.build(f'{learner}+badge', facts, model=MLP).learner.surveys
  assert {*built.learner.surveys} == {*surveys}


@pytest.mark.parametrize(
  ('name', 'given', 'message'),
  [
    ('margin', {'strategy': OWN}, "'margin' is a published system; give yours"),
    ('margin', {'learner': a_learner}, "'margin' is a published system"),
    ('ceal+badge', {'strategy': OWN}, "'badge' is a strategy of al_jax; give"),
    ('ceal+badge', {'learner': a_learner}, "'ceal' is a learner of al_jax"),
    ('supervised+margin', {'strategy': OWN}, "'margin' is a strategy of al_j"),
    ('mine', {'learner': a_learner}, "but no strategy: name it 'mine.marg"),
    ('mine+yours', {'learner': a_learner}, "strategy 'yours' is not known"),
    ('cael+mine', {'strategy': OWN}, "learner 'cael' is not known. Did you me"),
    ('../mine', {'strategy': OWN}, 'must have only letters, digits and'),
    ('a+b+c', {'strategy': OWN}, 'must have only letters, digits and'),
    (None, {'strategy': OWN}, 'system None has your own part: its name'),
    ('mine', {'strategy': lambda: 3}, 'returns int; it must return .*Strategy'),
    ('mine', {'strategy': lambda k: OWN}, 'cannot be made with {}: .* argume'),
    ('x+margin', {'learner': lambda m, f: 3}, 'returns int; it must return'),
    ('margin', {'model': 'mlp'}, "model is 'mlp'; it must be a mapping with a"),
    (
      'margin',
      {'model': Net(outputs=7)},
      r'Net.* predictions of shape \(7,\) .* \(10,\)',
    ),
    (
      'badge',
      {'model': Net()},
      "the output 'embedding' .* return .logits, ",
    ),
    ('bald', {'model': Net()}, 'needs dropout samples; model .*Net'),
    ('bald', {'model': nnx.bridge.ToLinen(Bridged)}, 'needs dropout samples'),
    ('propagation_random', {'model': Net()}, "the output 'embedding' of a mo"),
  ],
)
def test_parts_of_ones_own_that_do_not_fit_are_told_in_a_sentence(
  facts, name, given, message
):
  with pytest.raises(ValueError, match=message) as caught:
    systems.build(name, facts, **{'model': MLP, **given})
  assert '\n' not in str(caught.value)


def test_a_learner_has_its_model_already(facts):
  learner = systems.build('random', facts, model=MLP).learner
  built = systems.build('mine+margin', facts, learner=learner)
  assert built.learner is learner
  with pytest.raises(ValueError, match='model is given with a Learner'):
    systems.build('mine+margin', facts, model=MLP, learner=learner)
  with pytest.raises(ValueError, match='pretrained is given with a Learner'):
    systems.build('mine+margin', facts, learner=learner, pretrained={})


def test_an_embedding_is_missed_where_nobody_said_it_is_needed(facts):
  undeclared = Strategy(
    init=lambda facts: (),
    measure=lambda key, apply, batch: apply(batch.inputs).embedding,
    select=None,
  )
  model = Net(has_embedding=True)
  systems.build('mine', facts, model=model, strategy=undeclared)
  with pytest.raises(ValueError, match="'mine' needs the output 'embedding'"):
    systems.build('mine', facts, model=Net(), strategy=undeclared)


def test_others_that_need_an_embedding_say_so(facts):
  systems.build('margin', facts, model=MLP).need_embedding('describe_batches')
  built = systems.build('margin', facts, model=Net())
  with pytest.raises(
    ValueError, match=r"describe_batches needs .* that of 'margin' has no such"
  ):
    built.need_embedding('describe_batches')


def test_weights_are_pretrained_but_for_a_head_that_has_a_name(facts):
  with pytest.raises(ValueError, match=r'layers Dense_0, Dense_1; none is'):
    systems.build('margin', facts, model=Net(), pretrained={'params': {}})


def test_what_is_yours_is_told_apart(facts):
  def loss(predictions, targets):
    return facts.task.losses(predictions, targets)

  built = systems.build(
    'margin', facts, model=Net(width=5), learner={'loss': loss, 'augment': ()}
  )
  assert built.own == {
    'model': {
      'name': f'{__name__}.Net(width=5)',
      'modules': {__name__: digest_of_this_file()},
      'options': {},
    },
    'learner.loss': {
      'name': f'{__name__}.test_what_is_yours_is_told_apart',
      'modules': {__name__: digest_of_this_file()},
      'options': {'facts': 'al_jax.interfaces.base.Facts'},
    },
  }
  assert not systems.build('margin', facts, model=MLP).own


@pytest.mark.parametrize(
  ('name', 'given', 'told'),
  [
    ('margin', {'learner': {'loss': None, 'augment': ()}}, {}),
    ('margin', {'learner': {'loss': 'focal'}}, {'loss': 'focal'}),
    (
      'ceal',
      {'learner': {'loss': {'name': 'focal', 'gamma': 1.0}}},
      {'loss': 'focal(gamma=1.0)'},
    ),
    (
      'margin',
      {'learner': {'augment': ('flip', unchanged)}},
      {'augment': f'flip, {__name__}.unchanged'},
    ),
    ('margin', {'model': Net(width=5)}, {'model': f'{__name__}.Net(width=5)'}),
    ('margin', {'learner': {'augment': ['flip']}}, {}),
    ('mine', {'strategy': OWN}, {'strategy': parts.name_of(OWN)}),
    (
      'mine+margin',
      {'learner': a_learner},
      {'learner': f'{__name__}.a_learner'},
    ),
    (
      'supervised+al_jax.strategies.badge.badge',
      {},
      {'strategy': 'al_jax.strategies.badge.badge'},
    ),
    (
      'margin',
      {
        'prefilter': {
          'name': 'al_jax.strategies.entropy',
          'size': 50,
        }
      },
      {'prefilter': 'al_jax.strategies.entropy'},
    ),
  ],
)
def test_parts_that_records_tell_are_yours_and_the_loss(
  facts, name, given, told
):
  built = systems.build(name, facts, **{'model': MLP, **given})
  assert built.parts == told


def digest_of_this_file():
  return hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()


def asking(strategy, task=None, dropout=0.0):
  """A system in which the strategy is in the place of another."""
  facts = a_task()[1]
  facts = facts._replace(task=facts.task if task is None else task)
  system = a_system('random', facts=facts, dropout=dropout)
  return dataclasses.replace(system, name='mine', strategy=strategy)


def test_a_strategy_of_classes_is_refused_where_there_are_none():
  badge = strategies.badge()
  for strategy in (badge, strategies.chain(badge, 9, strategies.core_set())):
    with pytest.raises(ValueError, match='classes') as caught:
      asking(strategy, task=tasks.Vector(2)).check_strategy('mlp')
    assert str(caught.value) == (
      "system 'mine' needs classes, but the task is 2 numbers: it compares "
      'gradients of the loss as if the likeliest class were true. '
      f'{", ".join(strategies.without("classes")[:-1])} and '
      f'{strategies.without("classes")[-1]} work without classes.'
    )
  with pytest.raises(
    ValueError, match=r'the task is 2 numbers\. random, .* work'
  ):
    asking(strategies.margin(), task=tasks.Vector(2)).check_strategy('mlp')
  for name in strategies.without('classes'):
    strategy = strategies.STRATEGIES[name]()
    asking(strategy, task=tasks.Vector(2), dropout=0.2).check_strategy('mlp')


def test_an_output_that_is_not_there_is_refused():
  strategy = strategies.margin()._replace(needs={'extras.depth': 'it is deep'})
  message = (
    "system 'mine' needs the output 'depth' of a model: it is deep; 'mlp"
  )
  with pytest.raises(ValueError, match=message):
    asking(strategy).check_strategy('mlp')


@pytest.mark.parametrize('needs', [{'dropout': ''}, {}])
def test_samples_without_dropout_are_refused_declared_or_not(needs):
  strategy = strategies.bald(num_samples=2)._replace(needs=needs)
  with pytest.raises(
    ValueError, match="needs dropout samples; model 'mlp' has"
  ):
    asking(strategy).check_strategy('mlp')
  asking(strategy, dropout=0.2).check_strategy('mlp')


def test_more_than_the_pool_is_all_of_it(facts):
  built = systems.build(
    'margin',
    facts,
    model=MLP,
    subset_size=10**12,
    prefilter={'name': 'entropy', 'size': 10**12},
  )
  assert built.strategy.prefilter[1] == facts.num_examples
