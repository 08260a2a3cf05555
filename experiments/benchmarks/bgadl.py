"""Times a step of BGADL: encoder, generator, discriminator and classifier.

Run as `python -m experiments.benchmark bgadl`. Needs PyTorch, in which the same
networks are trained for comparison.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from al_jax import data
from al_jax.loop import program
from al_jax.loop.stopwatch import Stopwatch
from experiments.benchmarks import steps
from experiments.benchmarks.rounds import Trainer, labelled
from experiments.benchmarks.table import Row

# Target, as a multiple of PyTorch's time.
_AT_MOST = 1.3
_LABELS, _CLASSES = 512, 10


def measure() -> Iterator[Row]:
  """Measures networks for two cores, and those of the authors' code."""
  dataset = steps.load_images()
  small = {'channels': (16, 32), 'widths': (128,), 'latent': 16}
  yield step_beside_torch(dataset, small, batch_size=32, epochs=4)
  large = {'channels': (64, 128), 'widths': (1024,), 'latent': 100}
  yield step_beside_torch(dataset, large, batch_size=100, epochs=1)


def step_beside_torch(
  dataset: data.Dataset,
  makers: Mapping[str, Any],
  *,
  batch_size: int,
  epochs: int,
  repeats: int = 5,
) -> Row:
  """Times a step in both frameworks, with LeNet as the classifier.

  Args:
    dataset: pictures, 28 x 28.
    makers: channels, widths and latent, see `models.generative.acgan`.
    batch_size: labelled examples per step.
    epochs: epochs per measurement.
    repeats: number of pairs of measurements.

  Returns:
    A Row.
  """
  # 'online', because 'store' has no partners in the first round; otherwise
  # their steps cost the same.
  training = Trainer(
    dataset,
    program.sources_of(dataset),
    {'name': 'lenet'},
    label_budget=_LABELS,
    batch_size=batch_size,
    epochs=epochs,
    system='bgadl+random',
    partners='online',
    makers=makers,
    samples=0,
  )
  pool = labelled(dataset, _LABELS)
  num_steps = epochs * -(-_LABELS // batch_size)
  in_torch = _torch_steps(dataset, makers, batch_size, num_steps)
  return steps.row_beside_torch(
    f'BGADL, 28x28, {makers["channels"]} channels, batch {batch_size}',
    lambda: training.rounds([pool]),
    in_torch,
    num_steps,
    repeats=repeats,
    at_most=_AT_MOST,
  )


class Halving(torch.nn.Module):
  """The trunk of an encoder or a discriminator: convolutions, dense layers."""

  def __init__(
    self,
    shape: tuple[int, int, int],
    channels: Sequence[int],
    widths: Sequence[int],
    *,
    is_discriminator: bool,
  ):
    """Makes the layers.

    Args:
      shape: height, width and channels of an image.
      channels: channels of each convolution.
      widths: widths of the dense layers.
      is_discriminator: whether to use leaky units and to leave the first layer
        without normalisation.
    """
    super().__init__()
    height, width, last = shape
    active = torch.nn.ReLU()
    if is_discriminator:
      active = torch.nn.LeakyReLU(0.2)
    layers = []
    for number, size in enumerate(channels):
      plain = is_discriminator and number == 0
      layers.append(torch.nn.Conv2d(last, size, 4, 2, 1, bias=plain))
      layers += [] if plain else [torch.nn.BatchNorm2d(size)]
      layers.append(active)
      last = size
    layers.append(torch.nn.Flatten())
    last = torch.nn.Sequential(*layers)(
      torch.zeros(2, shape[2], height, width)
    ).shape[1]
    for size in widths:
      layers.append(torch.nn.Linear(last, size, bias=False))
      layers += [torch.nn.BatchNorm1d(size), active]
      last = size
    self.trunk, self.size = torch.nn.Sequential(*layers), last


class Encoder(Halving):
  """The encoder of `models.generative.acgan` in PyTorch."""

  def __init__(self, shape, channels, widths, latent):
    super().__init__(shape, channels, widths, is_discriminator=False)
    self.mean = torch.nn.Linear(self.size, latent)
    self.log_variance = torch.nn.Linear(self.size, latent)

  def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns means and log variances."""
    hidden = self.trunk(images)
    return self.mean(hidden), self.log_variance(hidden).clamp(-10, 10)


class Discriminator(Halving):
  """The discriminator of `models.generative.acgan` in PyTorch."""

  def __init__(self, shape, channels, widths):
    super().__init__(shape, channels, widths, is_discriminator=True)
    self.real = torch.nn.Linear(self.size, 1)

  def forward(self, images: torch.Tensor) -> torch.Tensor:
    """Returns logits."""
    return self.real(self.trunk(images))[:, 0]


class Generator(torch.nn.Module):
  """The generator of `models.generative.acgan` in PyTorch."""

  def __init__(self, shape, channels, widths, latent):
    super().__init__()
    last, layers = latent + _CLASSES, []
    for size in widths[::-1]:
      layers.append(torch.nn.Linear(last, size, bias=False))
      layers += [torch.nn.BatchNorm1d(size), torch.nn.ReLU()]
      last = size
    halvings = 2 ** len(channels)
    first = channels[-1]
    sides = [-(-side // halvings) for side in shape[:2]]
    layers += [
      torch.nn.Linear(last, first * sides[0] * sides[1]),
      torch.nn.Unflatten(1, (first, *sides)),
      torch.nn.BatchNorm2d(first),
      torch.nn.ReLU(),
    ]
    last = first
    for size in channels[-2::-1]:
      layers.append(torch.nn.ConvTranspose2d(last, size, 4, 2, 1, bias=False))
      layers += [torch.nn.BatchNorm2d(size), torch.nn.ReLU()]
      last = size
    layers.append(torch.nn.ConvTranspose2d(last, shape[2], 4, 2, 1))
    self.layers, self.shape = torch.nn.Sequential(*layers), shape

  def forward(self, codes: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Returns images from 0 to 1."""
    one_hot = functional.one_hot(classes, _CLASSES).float()
    made = self.layers(torch.cat([codes, one_hot], 1))
    return torch.sigmoid(made[..., : self.shape[0], : self.shape[1]])


def lenet(shape: tuple[int, int, int]) -> torch.nn.Module:
  """Makes `models.lenet` in PyTorch."""
  layers, last = [], shape[2]
  for size in (6, 16):
    layers += [torch.nn.Conv2d(last, size, 5), torch.nn.MaxPool2d(2)]
    layers.append(torch.nn.ReLU())
    last = size
  layers.append(torch.nn.Flatten())
  last = torch.nn.Sequential(*layers)(
    torch.zeros(1, shape[2], *shape[:2])
  ).shape[1]
  for size in (120, 84):
    layers += [torch.nn.Linear(last, size), torch.nn.ReLU()]
    last = size
  layers += [torch.nn.Dropout(0.5), torch.nn.Linear(last, _CLASSES)]
  return torch.nn.Sequential(*layers)


def _torch_steps(
  dataset: data.Dataset,
  makers: Mapping[str, Any],
  batch_size: int,
  num_steps: int,
) -> Callable[[], float]:
  """Makes a plain PyTorch training loop on tensors in memory."""
  raw = dataset.train.inputs[:_LABELS].astype(np.float32)
  mean, std = (float(np.mean(of)) for of in (dataset.mean, dataset.std))
  images = torch.from_numpy((raw - mean) / std).permute(0, 3, 1, 2)
  images = images.contiguous()
  targets = torch.from_numpy(dataset.train.targets[:_LABELS]).long()
  shape = dataset.train.inputs.shape[1:]
  channels, widths, latent = (
    makers[name] for name in ('channels', 'widths', 'latent')
  )

  def train():
    nets = (
      Encoder(shape, channels, widths, latent),
      Generator(shape, channels, widths, latent),
      Discriminator(shape, channels, widths),
      lenet(shape),
    )
    adams = [torch.optim.Adam(net.parameters(), lr=2e-4) for net in nets]
    clock = Stopwatch()
    for _ in range(num_steps):
      rows = torch.randint(_LABELS, (batch_size,))
      _step(nets, adams, images[rows], targets[rows], latent, (mean, std))
    return clock.lap()

  return train


def _step(nets, adams, images, classes, latent, moments):
  """Updates the four networks in turn."""
  encoder, generator, discriminator, classifier = nets

  def made(codes, classes):
    return (255 * generator(codes, classes) - moments[0]) / moments[1]

  def code():
    mean, log_variance = encoder(images)
    noise = torch.randn_like(mean)
    kl = (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
    return mean + torch.exp(log_variance / 2) * noise, kl

  def moved(which, loss):
    adams[which].zero_grad(set_to_none=True)
    loss.backward()
    adams[which].step()

  def real(logits, wanted):
    return functional.binary_cross_entropy_with_logits(
      logits, torch.full_like(logits, wanted)
    )

  codes, kl = code()
  errors = functional.mse_loss(made(codes, classes), images)
  moved(0, errors + kl / images[0].numel())
  with torch.no_grad():
    codes = torch.cat([torch.randn(len(images), latent), code()[0]])
  twice = torch.cat([classes, classes])
  fakes = made(codes, twice)
  classifier.eval()
  loss = functional.mse_loss(fakes[len(images) :], images)
  loss = loss + 2 * real(discriminator(fakes), 1.0)
  loss = loss + 2 * functional.cross_entropy(classifier(fakes), twice)
  moved(1, loss)
  classifier.train()
  with torch.no_grad():
    fakes = made(codes, twice)
  loss = real(discriminator(images), 0.9) + 2 * real(discriminator(fakes), 0.0)
  moved(2, loss)
  loss = functional.cross_entropy(classifier(images), classes)
  moved(3, loss + functional.cross_entropy(classifier(fakes), twice))
