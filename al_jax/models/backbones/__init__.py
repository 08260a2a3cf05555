"""Networks as published for ImageNet, by name, which load published weights."""

from al_jax.models.backbones import (
  densenet,
  efficientnet,
  inception,
  plain,
  resnet,
  squeezenet,
)

ARCHITECTURES = {
  **plain.ARCHITECTURES,
  **densenet.ARCHITECTURES,
  **efficientnet.ARCHITECTURES,
  **inception.ARCHITECTURES,
  **resnet.ARCHITECTURES,
  **squeezenet.ARCHITECTURES,
}
