"""Times an iteration of VAAL: two autoencoder steps and one critic step.

Run as `python -m experiments.benchmark adversarial`. Needs PyTorch, in which
the same networks are trained for comparison.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from al_jax import data
from al_jax.loop import program
from al_jax.loop.stopwatch import Stopwatch
from experiments.benchmarks import steps
from experiments.benchmarks.rounds import Trainer, labelled
from experiments.benchmarks.table import Row

# Target, as a multiple of PyTorch's time.
_AT_MOST = 1.3
_LABELS = 64
_ADAM = 5e-4


def measure() -> Iterator[Row]:
  """Measures networks for two cores, and VAAL's own."""
  dataset = steps.load_images()
  small = {'channels': (8, 16, 32), 'latent': 16}
  yield iteration_beside_torch(
    dataset, small, (64, 64), pair_size=32, iterations=30
  )
  large = {'channels': (128, 256, 512, 1024), 'latent': 32}
  yield iteration_beside_torch(
    steps.as_colour(dataset), large, (512, 512), pair_size=16, iterations=3
  )


def iteration_beside_torch(
  dataset: data.Dataset,
  vae: Mapping[str, Any],
  widths: Sequence[int],
  *,
  pair_size: int,
  iterations: int,
  repeats: int = 5,
) -> Row:
  """Times an iteration in both frameworks.

  Args:
    dataset: pictures.
    vae: channels and latent, see `models.generative.autoencoder`.
    widths: widths of the critic's hidden layers.
    pair_size: number of labelled and of unlabelled examples per step.
    iterations: iterations per measurement.
    repeats: number of pairs of measurements.

  Returns:
    A Row; its seconds are those of an iteration.
  """
  # The classifier is a tiny MLP and takes a single step, which is negligible.
  training = Trainer(
    dataset,
    program.sources_of(dataset),
    {'name': 'mlp', 'widths': (1,)},
    label_budget=_LABELS,
    epochs=1,
    system='vaal',
    vae=vae,
    critic={'widths': widths},
    pair_size=pair_size,
    iterations=iterations,
  )
  pool = labelled(dataset, _LABELS)
  in_torch = _torch_iterations(dataset, vae, widths, pair_size, iterations)
  height, width, depth = dataset.train.inputs.shape[1:]
  return steps.row_beside_torch(
    f'VAAL, {height}x{width}x{depth}, {len(vae["channels"])} convolutions',
    lambda: training.rounds([pool]),
    in_torch,
    iterations,
    repeats=repeats,
    at_most=_AT_MOST,
  )


class Autoencoder(torch.nn.Module):
  """`models.generative.autoencoder` in PyTorch, without a target head."""

  def __init__(
    self, shape: tuple[int, int, int], channels: Sequence[int], latent: int
  ):
    """Makes the layers.

    Args:
      shape: height, width and channels of an image.
      channels: channels of each convolution.
      latent: length of a latent.
    """
    super().__init__()
    height, width, depth = shape
    layers, last = [], depth
    for size in channels:
      layers += _block(torch.nn.Conv2d(last, size, 4, 2, 1, bias=False), size)
      last = size
    self.encode = torch.nn.Sequential(*layers, torch.nn.Flatten())
    seen = self.encode(torch.zeros(2, depth, height, width)).shape[1]
    self.mean = torch.nn.Linear(seen, latent)
    self.log_variance = torch.nn.Linear(seen, latent)
    halvings = 2 ** (len(channels) - 1)
    self.sides = last, -(-height // halvings), -(-width // halvings)
    self.begin = torch.nn.Linear(latent, int(np.prod(self.sides)))
    layers = [torch.nn.BatchNorm2d(last), torch.nn.ReLU()]
    for size in channels[-2::-1]:
      turned = torch.nn.ConvTranspose2d(last, size, 4, 2, 1, bias=False)
      layers += _block(turned, size)
      last = size
    self.decode = torch.nn.Sequential(*layers)
    self.made = torch.nn.Conv2d(last, depth, 1)
    self.size = height, width

  def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Returns the mean, the log variance, and a decoded sample."""
    hidden = self.encode(images)
    mean, log_variance = self.mean(hidden), self.log_variance(hidden)
    noise = torch.randn_like(mean)
    code = self.begin(mean + torch.exp(log_variance / 2) * noise)
    hidden = self.decode(code.reshape(-1, *self.sides))
    hidden = hidden[..., : self.size[0], : self.size[1]]
    return mean, log_variance, self.made(hidden)


def _block(layer, size):
  return [layer, torch.nn.BatchNorm2d(size), torch.nn.ReLU()]


def critic(latent: int, widths: Sequence[int]) -> torch.nn.Module:
  """Makes `models.generative.critic` in PyTorch."""
  layers, last = [], latent
  for width in widths:
    layers += [torch.nn.Linear(last, width), torch.nn.ReLU()]
    last = width
  return torch.nn.Sequential(*layers, torch.nn.Linear(last, 1))


def _torch_iterations(
  dataset: data.Dataset,
  vae: Mapping[str, Any],
  widths: Sequence[int],
  pair_size: int,
  iterations: int,
) -> Callable[[], float]:
  """Makes a plain PyTorch training loop on tensors in memory."""
  raw = dataset.train.inputs[:2000].astype(np.float32)
  scaled = (raw - dataset.mean) / dataset.std
  images = torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous()
  has_label = torch.arange(len(images)) < _LABELS
  of_kind = images[has_label], images[~has_label]
  shape = dataset.train.inputs.shape[1:]

  def train():
    net = Autoencoder(shape, vae['channels'], vae['latent']).train()
    judge = critic(vae['latent'], widths)
    both = [torch.optim.Adam(of.parameters(), lr=_ADAM) for of in (net, judge)]
    clock = Stopwatch()
    for _ in range(iterations):
      for _ in range(2):
        pair = [
          kind[torch.randint(len(kind), (pair_size,))] for kind in of_kind
        ]
        _step_autoencoder(net, judge, both[0], pair)
      _step_critic(net, judge, both[1], pair)
    return clock.lap()

  return train


def _step_autoencoder(net, judge, optimiser, pair):
  optimiser.zero_grad(set_to_none=True)
  loss = 0
  for images in pair:
    mean, log_variance, made = net(images)
    terms = mean**2 + log_variance.exp() - 1 - log_variance
    divergence = terms.sum(1).mean() / 2
    errors = torch.nn.functional.mse_loss(made, images)
    logits = judge(mean)
    loss += errors + divergence / images[0].numel()
    loss += torch.nn.functional.binary_cross_entropy_with_logits(
      logits, torch.zeros_like(logits)
    )
  loss.backward()
  optimiser.step()


def _step_critic(net, judge, optimiser, pair):
  net.eval()
  with torch.no_grad():
    codes = [net.mean(net.encode(images)) for images in pair]
  net.train()
  optimiser.zero_grad(set_to_none=True)
  loss = 0
  for wanted, code in enumerate(codes):
    logits = judge(code)
    loss += torch.nn.functional.binary_cross_entropy_with_logits(
      logits, torch.full_like(logits, float(wanted))
    )
  loss.backward()
  optimiser.step()
