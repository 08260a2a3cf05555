import pathlib

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from al_jax import files, xla


def shape(*sizes):
  return jax.ShapeDtypeStruct(sizes, jnp.float32)


def convolution(images, kernel, **options):
  return lax.conv_general_dilated(
    images,
    kernel,
    window_strides=(1, 1),
    padding='SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    **options,
  )


@jax.custom_vjp
def with_its_own_gradient(x):
  return jnp.sin(x)


with_its_own_gradient.defvjp(
  lambda x: (jnp.sin(x), x), lambda x, g: (g * jnp.cos(x),)
)


@jax.custom_jvp
def with_its_own_tangent(x):
  return jnp.sin(x)


with_its_own_tangent.defjvps(lambda t, _, x: t * jnp.cos(x))

HOLDERS = {
  'jit': jax.jit(jnp.sin),
  'scan': lambda x: lax.scan(lambda c, _: (jnp.sin(c), ()), x, length=3)[0],
  'while_loop': lambda x: lax.while_loop(lambda c: jnp.sum(c) < 0, jnp.sin, x),
  'while_loop_condition': lambda x: lax.while_loop(
    lambda c: jnp.sum(jnp.sin(c)) < 0, lambda c: c + 1, x
  ),
  'fori_loop': lambda x: lax.fori_loop(0, 3, lambda _, c: jnp.sin(c), x),
  'map': lambda x: lax.map(jnp.sin, x),
  'cond': lambda x: lax.cond(jnp.sum(x) > 0, jnp.sin, jnp.negative, x),
  'switch': lambda x: lax.switch(
    jnp.int32(0), [jnp.negative, jnp.abs, jnp.sin], x
  ),
  'checkpoint': jax.checkpoint(jnp.sin),
  'custom_vjp': with_its_own_gradient,
  'custom_jvp': with_its_own_tangent,
  'vmap': jax.vmap(jnp.sin),
}


@pytest.mark.parametrize('name', HOLDERS)
def test_a_primitive_is_seen_wherever_it_hides(name):
  assert 'sin' in xla.used_by(HOLDERS[name], shape(4))
  nested = jax.jit(
    lambda x: lax.scan(
      lambda c, _: (lax.cond(True, HOLDERS[name], jnp.negative, c), ()),
      x,
      length=2,
    )[0]
  )
  used = xla.used_by(nested, shape(4))
  assert {'sin', 'scan', 'cond'} <= used


def test_what_is_not_used_is_not_seen():
  used = xla.used_by(lambda x: jnp.cos(x) + 1, shape(4))
  assert used == {'cos', 'add'}


def test_random_draws_and_convolutions_have_the_names_that_callers_look_for():
  def dropout(key, x):
    return x * jax.random.bernoulli(key, 0.5, x.shape)

  assert 'random_bits' in xla.used_by(dropout, jax.random.key(0), shape(3))
  gradient = jax.grad(lambda k, x: jnp.sum(convolution(x, k)))
  used = xla.used_by(gradient, shape(3, 3, 1, 2), shape(2, 8, 8, 1))
  assert 'conv_general_dilated' in used


def test_a_matrix_product_is_two_m_n_k():
  count = xla.matrix_operations
  assert count(jnp.matmul, shape(3, 5), shape(5, 7)) == 2 * 3 * 5 * 7
  assert count(jnp.matmul, shape(4, 3, 5), shape(4, 5, 7)) == 4 * 2 * 3 * 5 * 7
  assert count(jnp.dot, shape(9), shape(9)) == 2 * 9
  outer = xla.matrix_operations(jnp.outer, shape(3), shape(4))
  assert outer in (0, 2 * 3 * 4)  # as a product of columns, or elementwise


def test_a_convolution_is_a_product_of_patches_and_kernels():
  # 8 x 8 places, each 3 x 3 x 4 inputs by 6 outputs, for 2 images.
  wanted = 2 * 2 * 8 * 8 * 3 * 3 * 4 * 6
  images, kernel = shape(2, 8, 8, 4), shape(3, 3, 4, 6)
  assert xla.matrix_operations(convolution, images, kernel) == wanted

  def grouped(images, kernel):
    return convolution(images, kernel, feature_group_count=2)

  half = xla.matrix_operations(grouped, images, shape(3, 3, 2, 6))
  assert half == wanted // 2


def test_the_layout_of_a_kernel_changes_nothing():
  def in_torch_order(images, kernel):
    return lax.conv(images, kernel, (1, 1), 'SAME')

  found = xla.matrix_operations(
    in_torch_order, shape(2, 4, 8, 8), shape(6, 4, 3, 3)
  )
  assert found == 2 * 2 * 8 * 8 * 3 * 3 * 4 * 6


def test_a_gradient_costs_two_more_products():
  def loss(w, x):
    return jnp.sum(jnp.tanh(x @ w))

  shapes = shape(5, 7), shape(3, 5)
  once = xla.matrix_operations(loss, *shapes)
  of_weights = xla.matrix_operations(jax.grad(loss), *shapes)
  of_both = xla.matrix_operations(jax.grad(loss, (0, 1)), *shapes)
  assert (of_weights, of_both) == (2 * once, 3 * once)


def test_scans_count_every_step_and_while_loops_one():
  square, once = shape(6, 6), 2 * 6 * 6 * 6

  def scan(x):
    return lax.scan(lambda c, _: (c @ c, ()), x, length=10)[0]

  def nested(x):
    return lax.scan(lambda c, _: (scan(c) @ c, ()), x, length=3)[0]

  def while_loop(x):
    return lax.while_loop(lambda c: jnp.sum(c) < 9, lambda c: c @ c, x)

  def cond(x):
    return lax.cond(jnp.sum(x) > 0, lambda c: c @ c, lambda c: c @ c @ c, x)

  count = xla.matrix_operations
  assert count(scan, square) == 10 * once
  assert count(nested, square) == 3 * (10 + 1) * once
  assert count(while_loop, square) == once
  assert count(cond, square) == 3 * once
  assert count(jax.jit(scan), square) == 10 * once


def test_counting_needs_no_memory_and_runs_nothing():
  big = shape(10**6, 10**6)
  assert xla.matrix_operations(jnp.matmul, big, big) == 2 * 10**18


def test_the_layout_of_a_convolution_is_seen_inside_a_loop():
  names = ('NHWC', 'HWIO', 'NHWC')
  images, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 2))

  def convolve(images):
    def body(carry, _):
      out = jax.lax.conv_general_dilated(
        carry, kernel, (1, 1), 'SAME', dimension_numbers=names
      )
      return out, None

    return jax.lax.scan(body, images, length=3)[0]

  (found,) = xla.convolutions(convolve, images)
  assert found == jax.lax.conv_dimension_numbers(
    images.shape, kernel.shape, names
  )
  assert xla.convolutions(jnp.sin, images) == []


def test_compiled_programs_are_where_all_that_is_kept_is(monkeypatch):
  monkeypatch.setenv('AL_JAX_CACHE_DIR', '/elsewhere')
  monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR', raising=False)
  assert xla.program_cache() == '/elsewhere/compiled'
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', '/here')
  assert xla.program_cache() == '/here'


def test_the_suite_keeps_nothing_among_the_files_of_the_user():
  cache = pathlib.Path('~/.cache/al_jax').expanduser()
  for kept in (xla.program_cache(), jax.config.jax_compilation_cache_dir):
    assert cache not in pathlib.Path(kept).parents
  assert files.cache_root() != cache


def test_of_many_damaged_programs_one_line_is_said(caplog):
  shown = []
  show = xla._DamageOnce(lambda message, *_: shown.append(str(message)))
  for name in ('jit_a', 'jit_b'):
    text = f"compilation cache entry for '{name}': ValueError: no"
    show(UserWarning(f'Error reading persistent {text}'), UserWarning, '', 1)
  show(UserWarning('something else'), UserWarning, '', 1)
  assert shown == ['something else']
  assert caplog.text.count('until they are deleted: rm -r') == 1
