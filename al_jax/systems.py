"""Systems by name: published ones, or a learner and a strategy of your choice.

A name is a key of `SYSTEMS`, or `learner+strategy`, where each half is a name
or a dotted path (see `al_jax.parts`).
"""

import re
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from al_jax import errors, learners, models, parts, strategies
from al_jax._system import System, is_own, own_names
from al_jax.interfaces import Facts, Learner, ModelFns, PyTree, Strategy
from al_jax.learners import LEARNERS, pretraining

# Names for a system with your own part; they are also names of folders.
_OWN_NAME = re.compile(r'[\w.-]+(\+[\w.-]+)?')


class Published(NamedTuple):
  """Definition of a system from a paper.

  Attributes:
    learner: a name in `learners.LEARNERS`, or a dotted path.
    strategy: a name in `strategies.STRATEGIES`, or a dotted path.
    strategy_options: options of the strategy, which a config may override.
    paper: reference to the paper.
    learner_options: options of the learner, which a config may override.
  """

  learner: str
  strategy: str
  strategy_options: Mapping[str, Any]
  paper: str
  learner_options: Mapping[str, Any] = types.MappingProxyType({})


_ARTHUR = 'Arthur and Vassilvitskii 2007, k-means++'
_ASH = 'Ash et al. 2020, Deep Batch Active Learning by Diverse, Uncertain ...'
_COHN = 'Cohn et al. 1996, Active Learning with Statistical Models'
_EBERT = 'Ebert et al. 2012, RALF: A Reinforced Active Learning Formulation'
_GAL = 'Gal et al. 2017, Deep Bayesian Active Learning with Image Data'
_GIKUNDA = 'Gikunda 2021, Budget annotation'
_HOULSBY = 'Houlsby et al. 2011, Bayesian Active Learning for Classification'
_HOLZMUELLER = (
  'Holzmueller et al. 2023, A Framework and Benchmark for Deep Batch Active ...'
)
_HSU = 'Hsu and Lin 2015, Active Learning by Learning'
_KIRSCH = 'Kirsch et al. 2023, Stochastic Batch Acquisition'
_LEWIS = 'Lewis and Gale 1994, A Sequential Algorithm for Training Classifiers'
_RANGANATHAN = (
  'Ranganathan et al. 2017, Deep Active Learning for Image Classification'
)
_REDUX = 'Kirsch et al. 2019, BatchBALD'
_ROY = 'Roy and McCallum 2001, Toward Optimal Active Learning'
_SCHEFFER = 'Scheffer et al. 2001, Active Hidden Markov Models'
_SENER = (
  'Sener and Savarese 2018, Active Learning for CNNs: A Core-Set Approach'
)
_SETTLES = 'Settles and Craven 2008, An Analysis of Active Learning Strategies'
_SHANNON = 'Settles 2009, Active Learning Literature Survey, section 3.1'
_SIMEONI = 'Simeoni et al. 2020, Rethinking Deep Active Learning'
_SINHA = 'Sinha et al. 2019, Variational Adversarial Active Learning'
_TRAN = 'Tran et al. 2019, Bayesian Generative Active Deep Learning'
_WANG = 'Wang et al. 2017, Cost-Effective Active Learning'
_YOO = 'Yoo and Kweon 2019, Learning Loss for Active Learning'
_ZHANG = 'Zhang et al. 2020, State-Relabeling Adversarial Active Learning'
_ZHDANOV = 'Zhdanov 2019, Diverse mini-batch Active Learning'


def _asking(strategy, paper, **options):
  """Combines the supervised learner with a strategy."""
  return Published('supervised', strategy, options, paper)


def _asking_by_gradients(strategy, paper):
  """Combines the supervised learner with a strategy on sketched gradients."""
  return Published(
    'supervised',
    strategy,
    {'embedding': 'gradient'},
    paper,
    {'gradient_sketch': 512},
  )


def _preset(name, paper):
  """Combines the supervised learner with an entry of `strategies.PUBLISHED`."""
  strategy, options = strategies.PUBLISHED[name]
  return _asking(strategy, paper, **options)


def _propagating(strategy):
  """Combines the label propagation learner with a strategy."""
  return Published('label_propagation', strategy, {}, _SIMEONI)


SYSTEMS = {
  'random': _asking('random', 'the baseline'),
  'least_confidence': _asking('least_confidence', _LEWIS),
  'margin': _asking('margin', _SCHEFFER),
  'entropy': _asking('entropy', _SHANNON),
  'mc_least_confidence': _preset('mc_least_confidence', _GAL),
  'mc_margin': _preset('mc_margin', _GAL),
  'mc_entropy': _preset('mc_entropy', _GAL),
  'variation_ratio': _asking('variation_ratio', _GAL),
  'mean_std': _asking('mean_std', _GAL),
  'variance': _asking('variance', _COHN),
  'bald': _asking('bald', _HOULSBY),
  'power_bald': _preset('power_bald', _KIRSCH),
  'softmax_bald': _preset('softmax_bald', _KIRSCH),
  'softrank_bald': _preset('softrank_bald', _KIRSCH),
  'batch_bald': _asking('batch_bald', _REDUX),
  'badge': _asking('badge', _ASH),
  'badge_gradient': _asking_by_gradients('badge', _ASH),
  'core_set': _asking('core_set', _SENER),
  'robust_core_set': _preset('robust_core_set', _SENER),
  'k_means': _asking('k_means', _ZHDANOV),
  'weighted_k_means': _asking('weighted_k_means', _ZHDANOV),
  'k_means_plus_plus': _asking('k_means_plus_plus', _ARTHUR),
  'lcmd': _asking('lcmd', _HOLZMUELLER),
  'lcmd_gradient': _asking_by_gradients('lcmd', _HOLZMUELLER),
  'information_density': _asking('information_density', _SETTLES),
  'graph_density': _asking('graph_density', _EBERT),
  'expected_error_reduction': _asking('expected_error_reduction', _ROY),
  'jlp': _asking('jlp', _SIMEONI),
  'albl': _asking('albl', _ASH, arms=('least_confidence', 'core_set')),
  'albl_by_query': _asking(
    'albl',
    _HSU,
    arms=('random', 'least_confidence', 'core_set'),
    version='query',
  ),
  'joint': Published('joint', 'entropy', {}, _RANGANATHAN),
  'joint_random': Published('joint', 'random', {}, _RANGANATHAN),
  'joint_bald': Published('joint', 'bald', {}, _RANGANATHAN),
  'ceal': Published('ceal', 'entropy', {}, _WANG),
  'ceal_random': Published('ceal', 'random', {}, _WANG),
  'ceal_margin': Published('ceal', 'margin', {}, _WANG),
  'ceal_least_confidence': Published('ceal', 'least_confidence', {}, _WANG),
  'hybrid': _asking('hybrid', _GIKUNDA),
  'budget_annotation': Published('budget_annotation', 'hybrid', {}, _GIKUNDA),
  'propagation_random': _propagating('random'),
  'propagation_entropy': _propagating('entropy'),
  'propagation_core_set': _propagating('core_set'),
  'propagation_jlp': _propagating('jlp'),
  'propagation_badge': _propagating('badge'),
  'learning_loss': Published('learning_loss', 'learning_loss', {}, _YOO),
  'learning_loss_random': Published('learning_loss', 'random', {}, _YOO),
  'vaal': Published('vaal', 'adversarial', {}, _SINHA),
  'sraal': Published('sraal', 'adversarial', {}, _ZHANG),
  'bgadl': Published('bgadl', 'bald', {}, _TRAN),
  'bda': Published('bgadl', 'bald', {}, _TRAN, {'partners': 'prior'}),
}


# The baseline, and the systems that run by default.
BASELINE = 'random'
DEFAULT = (BASELINE, 'margin')


def published(name: str) -> Published:
  """Returns the parts of a system.

  Args:
    name: a key of `SYSTEMS`, or `learner+strategy`.

  Returns:
    The parts of the system; `learner+strategy` has no options of its own.

  Raises:
    ValueError: the name is unknown, or a dotted path cannot be imported.
  """
  if isinstance(name, str) and name in SYSTEMS:
    return SYSTEMS[name]
  if not isinstance(name, str) or '+' not in name:
    error = errors.unknown_name('system', name, SYSTEMS)
    raise ValueError(f'{error} Or combine your own: learner+strategy.')
  learner, _, strategy = name.partition('+')
  if strategy in SYSTEMS and strategy not in strategies.STRATEGIES:
    system = SYSTEMS[strategy]
    raise ValueError(
      f'system {name!r}: {strategy!r} is a system, not a strategy; it has the '
      f'strategy {system.strategy!r} with {dict(system.strategy_options)}.'
    )
  parts.find('learner', learner, LEARNERS)
  parts.find('strategy', strategy, strategies.STRATEGIES)
  return Published(learner, strategy, {}, '')


def canonical(name: str) -> str:
  """Returns the published name of a system if it has one, else its own.

  Args:
    name: name of a system as a user writes it: `'supervised+margin'`.

  Returns:
    The name in folders, records and identities: `'margin'`.

  Raises:
    ValueError: see `published`.
  """
  found = published(name)
  for known, system in SYSTEMS.items():
    if system._replace(paper='') == found._replace(paper='') and not (
      system.strategy_options or system.learner_options
    ):
      return known
  return name


def strategy_of(
  name: str, options: Mapping[str, Any] | None = None
) -> Strategy:
  """Makes the strategy of a system.

  Args:
    name: name of the system.
    options: options of the strategy, which override the published ones.

  Returns:
    A Strategy.

  Raises:
    ValueError: a name or an option is unknown.
  """
  return _strategy(published(name), options)


def build(
  name: str,
  facts: Facts,
  *,
  model: Mapping[str, Any] | ModelFns | Callable[..., Any] | None = None,
  learner: Mapping[str, Any] | Learner | Callable[..., Any] | None = None,
  strategy: Mapping[str, Any] | Strategy | Callable[..., Any] | None = None,
  subset_size: int | None = None,
  prefilter: Mapping[str, Any] | None = None,
  pretrained: PyTree = None,
) -> System:
  """Makes a system by name.

  Args:
    name: a key of `SYSTEMS`, or `learner+strategy`. You may choose the name of
      your own part: `'supervised+mine'`, or `'mine'` for short.
    facts: facts of the task.
    model: `name` and options, for `models.build`; or the model itself: a Flax
      module (see `models.adapted`), a ModelFns, or a function of the facts that
      returns one. It must be None if `learner` is a Learner, which has its own.
    learner: options of the learner, which override the published ones; or your
      own learner: a Learner, or a function `(model, facts) -> Learner`.
    strategy: options of the strategy, which override the published ones; or
      your own strategy: a Strategy, or a function that returns one.
    subset_size: number of examples that the strategy measures per round, drawn
      anew in each. If None, it measures all.
    prefilter: `name` and options of a strategy that proposes candidates, and
      `size`, their number. If None, all examples are candidates.
    pretrained: initial weights of the model without its head. If None, they are
      random.

  Returns:
    A System. It has been traced once, so that parts that do not fit are found
    before any work.

  Raises:
    ValueError: a name or an option is unknown, the strategy needs an output
      that the model lacks, or the name would be misleading in records.
  """
  own = {'model': model, 'learner': learner, 'strategy': strategy}
  if is_own(learner) or is_own(strategy):
    of_system = _named(name, learner, strategy)
  else:
    name = canonical(name)
    of_system = published(name)
  if is_own(model):
    model = {'name': model}
  built, called = _learner(of_system, facts, model, learner, pretrained)
  asking = _strategy(of_system, strategy)
  if asking.measure is None and (prefilter or subset_size is not None):
    raise ValueError(
      f'prefilter or subset_size is set for {name}, which measures nothing; '
      'leave them None.'
    )
  asking = _looking_at(asking, facts.num_examples, subset_size, prefilter)
  named = _names_of_parts(of_system, prefilter, **{**own, 'model': model})
  system = System(name, built, asking, facts, parts.own_among(own), named)
  system.check_predictions()
  system.check_strategy(called)
  return system


def _names_of_parts(of_system, prefilter, model, learner, strategy):
  """Returns the names of a system's parts in records, see `System.parts`."""
  training = {**of_system.learner_options, **_options(learner)}
  named = own_names(
    {
      'learner': learner if is_own(learner) else of_system.learner,
      'model': _options(model).get('name'),
      'strategy': strategy if is_own(strategy) else of_system.strategy,
      'prefilter': _options(prefilter).get('name'),
      'arms': _options(strategy).get('arms'),
      'augment': training.get('augment'),
    }
  )
  loss = training.get('loss')
  if isinstance(loss, str | Mapping) or callable(loss):
    named['loss'] = parts.name_of(loss)
  return named


def _options(given):
  return given if isinstance(given, Mapping) else {}


def check_own_name(name: object) -> None:
  """Raises ValueError unless a system with your own part can have this name.

  Args:
    name: the given name.
  """
  if not isinstance(name, str) or not _OWN_NAME.fullmatch(name):
    raise ValueError(
      f'system {name!r} has your own part: its name must have only letters, '
      "digits and '_-.', or be learner+strategy."
    )


def _named(name, learner, strategy):
  """Returns the parts of a system with at least one part of the user's own."""
  check_own_name(name)
  if name in SYSTEMS:
    raise ValueError(
      f'{name!r} is a published system; give yours another name, such as '
      "'supervised+mine'."
    )
  first, plus, second = name.partition('+')
  if not plus and not is_own(strategy):
    raise ValueError(
      f'system {name!r} has your own learner, but no strategy: name it '
      f"'{name}+margin', for example, or pass a strategy too."
    )
  if not plus:
    first, second = 'supervised', name
  halves = (
    ('learner', first, learner, LEARNERS),
    ('strategy', second, strategy, strategies.STRATEGIES),
  )
  for kind, half, given, table in halves:
    if not is_own(given):
      parts.find(kind, half, table)
    elif half in table and (plus or kind == 'strategy'):
      raise ValueError(
        f'system {name!r}: {half!r} is a {kind} of al_jax; give yours another '
        f"name, such as 'my_{half}'."
      )
  return Published(first, second, {}, '')


def _learner(of_system, facts, model, given, pretrained):
  """Builds a system's learner, and returns the name of its model with it."""
  if isinstance(given, Learner):
    for what, value in (('model', model), ('pretrained', pretrained)):
      if value is not None:
        raise ValueError(
          f'{what} is given with a Learner, which has its own network: leave '
          f'{what} out, or pass a function (model, facts) -> Learner.'
        )
    return given, parts.name_of(given)
  if not isinstance(model, Mapping):
    raise ValueError(
      f'model is {model!r}; it must be a mapping with a `name`, a Flax module, '
      'a ModelFns, or a function of the facts that returns one.'
    )
  if 'name' not in model:
    raise ValueError(f'model is {dict(model)}; it needs a `name`.')
  make, options = of_system.learner, {} if given is None else given
  if callable(given):
    make, options = given, {}
  elif isinstance(options, Mapping):
    options = {**of_system.learner_options, **options}

  def build(facts):
    network = models.build(facts=facts, **model)
    if pretrained is not None:
      network = pretraining.beginning_with(network, pretrained)
    return learners.build(make, network, facts, options)

  within_pool = not facts.made_capacity
  built = build(facts) if within_pool else learners.beyond_pool(build, facts)
  return built, parts.name_of(model['name'])


def _strategy(of_system, given):
  """Builds a system's strategy: your own, or the published one with options."""
  if isinstance(given, Strategy):
    return given
  if callable(given):
    return strategies.build(given)
  options = {} if given is None else given
  errors.check_mapping('strategy', options)
  return strategies.build(
    of_system.strategy, {**of_system.strategy_options, **options}
  )


def _looking_at(asking, num_examples, subset_size, prefilter):
  """Restricts a strategy to a subset of the pool, or to candidates."""
  errors.check_number('subset_size', subset_size, int, least=1, optional=True)
  if prefilter is None or prefilter == {}:
    if subset_size is None:
      return asking
    return strategies.subset(asking, min(subset_size, num_examples))
  errors.check_mapping('prefilter', prefilter)
  options = dict(prefilter)
  missing = {'name', 'size'} - set(options)
  if missing:
    raise ValueError(
      f'prefilter has no {min(missing)!r}; it needs a name and a size.'
    )
  name, size = options.pop('name'), options.pop('size')
  errors.check_number('prefilter.size', size, int, least=1)
  first = strategies.build(name, options)
  if subset_size is not None:
    first = strategies.subset(first, min(subset_size, num_examples))
  return strategies.chain(first, min(size, num_examples), asking)
