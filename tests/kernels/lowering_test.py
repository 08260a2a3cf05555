"""Every public kernel compiles for CPU, CUDA and TPU; no device is needed."""

import inspect

import jax
import pytest
from jax import export

from al_jax import kernels
from tests.kernels import every_kernel

CALLS = every_kernel.calls(every_kernel.Sizes())


def test_every_public_kernel_is_called():
  public = {
    name
    for name in kernels.__all__
    if not inspect.isclass(getattr(kernels, name))
  }
  assert {name.split(',')[0].split()[0] for name in CALLS} == public


@pytest.mark.parametrize('name', CALLS)
def test_it_lowers_for_all_platforms(name):
  call = CALLS[name]
  exported = export.export(
    jax.jit(call.function), platforms=['cpu', 'cuda', 'tpu']
  )(*call.arguments)
  assert exported.platforms == ('cpu', 'cuda', 'tpu')
  assert exported.mlir_module_serialized
