"""MC-dropout strategies on MNIST and Repeated-MNIST.

python -m experiments.run --config=configs/bayesian.py:gal \
        --workdir=runs/bayesian/gal
python -m experiments.run --config=configs/bayesian.py:repeated \
        --workdir=runs/bayesian/repeated
"""

from ml_collections import ConfigDict

from al_jax.runner import defaults


def get_config(arg: str = 'gal') -> ConfigDict:
  """Returns the protocol of Gal et al. 2017 or of Kirsch et al. 2019.

  Args:
    arg: `'gal'`: MNIST, 20 balanced labels, then 10 a round to 1,000 or until
      the test accuracy reaches 95%. `'repeated'`: three noisy copies of every
      digit, 10 a round to 300. With the suffix `',local'`: few rounds on a
      small pool.

  Returns:
    A config with the CNN of both papers, trained from scratch each round. The
    strategies score 5,000 examples of the pool, drawn anew each round, with 50
    dropout samples.
  """
  name, _, variant = arg.partition(',')
  if name not in ('gal', 'repeated') or variant not in ('', 'local'):
    raise ValueError(
      f"config argument is {arg!r}; it must be 'gal' or 'repeated', alone or "
      "with ',local'."
    )
  config = defaults.get_config()
  config.data = ConfigDict({'source': 'tfds:mnist', 'transforms': ()})
  config.model = ConfigDict({'name': 'mnist_cnn'})
  config.seeds = 5
  config.subset_size = 5000
  config.strategy = ConfigDict({'num_samples': 50})
  config.learner.stop.epochs = 50
  config.learner.optimizer.name = 'adamw'
  config.learner.optimizer.weight_decay = 1e-2
  config.protocol.first_set = 'balanced'
  config.protocol.first_size = 20
  config.protocol.labels_per_round = 10
  config.describe.batches = True
  if name == 'gal':
    config.systems = ('random', 'bald', 'variation_ratio', 'mc_entropy')
    config.protocol.rounds = 99
    config.protocol.test_accuracy = 0.95
  else:
    config.data.transforms = (
      {'name': 'redundancy', 'copies': 3, 'noise': 0.1},
    )
    config.systems = ('random', 'bald', 'batch_bald', 'power_bald', 'badge')
    config.protocol.rounds = 29
  if variant == 'local':
    cap = {'name': 'cap', 'train': 600, 'test': 200}
    config.data.transforms = (cap, *config.data.transforms)
    config.subset_size = 200
    config.strategy.num_samples = 5
    config.learner.stop.epochs = 5
    config.protocol.rounds = 3
    config.seeds = 2
  return config
