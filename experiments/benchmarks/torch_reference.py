"""PyTorch's side of the speed comparison: the same networks, a plain loop.

Batches are tensors in memory, and the optimizer is Adam with PyTorch's
defaults. Needs the extra `benchmark`.
"""

from collections.abc import Callable, Sequence
from typing import Any

try:
  import torch
except ImportError as error:
  raise ImportError(
    'The comparison with PyTorch needs the extra `benchmark`: pip install'
    ' "al-jax[benchmark]".'
  ) from error


def mlp(
  num_features: int = 784,
  num_classes: int = 10,
  *,
  widths: Sequence[int] = (256, 256),
  dropout: float = 0.0,
) -> torch.nn.Module:
  """Makes `al_jax.models.mlp` in PyTorch; it flattens inputs [B, ...]."""
  layers: list[torch.nn.Module] = [torch.nn.Flatten()]
  for width in widths:
    layers += [torch.nn.Linear(num_features, width), torch.nn.ReLU()]
    if dropout:
      layers.append(torch.nn.Dropout(dropout))
    num_features = width
  return torch.nn.Sequential(
    *layers, torch.nn.Linear(num_features, num_classes)
  )


def mnist_cnn(
  num_classes: int = 10,
  *,
  conv_dropout: float = 0.25,
  dense_dropout: float = 0.5,
) -> torch.nn.Module:
  """Makes `al_jax.models.mnist_cnn` in PyTorch, for inputs [B, 1, 28, 28]."""
  return torch.nn.Sequential(
    torch.nn.Conv2d(1, 32, 4),
    torch.nn.ReLU(),
    torch.nn.Conv2d(32, 32, 4),
    torch.nn.ReLU(),
    torch.nn.MaxPool2d(2),
    torch.nn.Dropout(conv_dropout),
    torch.nn.Flatten(),
    torch.nn.Linear(32 * 11 * 11, 128),
    torch.nn.ReLU(),
    torch.nn.Dropout(dense_dropout),
    torch.nn.Linear(128, num_classes),
  )


def train_step(
  model: torch.nn.Module, *, learning_rate: float = 1e-3
) -> Callable[[torch.Tensor, torch.Tensor], Any]:
  """Makes a step of Adam on the mean cross-entropy.

  Args:
    model: the network; it is put in training mode.
    learning_rate: learning rate of Adam.

  Returns:
    `(inputs, targets) -> (loss, num_correct)`: float32 inputs [B, ...], int64
    targets [B]; two scalar tensors.
  """
  model.train()
  optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)

  def step(inputs, targets):
    optimiser.zero_grad(set_to_none=True)
    logits = model(inputs)
    loss = torch.nn.functional.cross_entropy(logits, targets)
    loss.backward()
    optimiser.step()
    num_correct = (logits.detach().argmax(1) == targets).sum()
    return loss.detach(), num_correct

  return step
