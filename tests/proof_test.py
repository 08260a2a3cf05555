"""The proof tells programs and records apart by what they do alone."""

import json

import jax
import jax.numpy as jnp

from tests import proof

ADD = """
module @jit_add attributes {mhlo.num_partitions = 1 : i32} {
  func.func public @main(%arg0: tensor<f32>) -> (tensor<f32> {jax.result_info = "result[0]"}) {
    %0 = call @NAME(%arg0) : (tensor<f32>) -> tensor<f32>
    %1 = stablehlo.custom_call @topk(%0) : (tensor<f32>) -> tensor<f32>
    return %1 : tensor<f32>
  }
}
"""  # noqa: E501, as JAX writes it


def lowered(fn):
  return jax.jit(fn).lower(jnp.ones(3)).as_text()


def test_names_of_functions_and_results_do_not_count():
  def one(x):
    return {'a': jnp.clip(x, 0, 1)}

  def other(x):
    return {'b': jnp.clip(x, 0, 1)}

  assert lowered(one) != lowered(other)
  assert proof._canonical(lowered(one)) == proof._canonical(lowered(other))


def test_constants_and_targets_of_custom_calls_count():
  assert proof._canonical(lowered(lambda x: x + 1)) != proof._canonical(
    lowered(lambda x: x + 2)
  )
  one, other = ADD.replace('NAME', 'f'), ADD.replace('NAME', 'g')
  assert proof._canonical(one) == proof._canonical(other)
  assert proof._canonical(one) != proof._canonical(
    one.replace('@topk', '@bottomk')
  )


def test_seconds_of_records_do_not_count(tmp_path):
  record = {'system': 'margin', 'seed': 0, 'round': 1, 'labels': 20}

  def hashes(**changes):
    line = json.dumps(
      {**record, 'seconds_fit': 1.0, 'compilations': 3, **changes}
    )
    (tmp_path / 'records.jsonl').write_text(line + '\n')
    return proof._hashes_of_records(tmp_path)

  assert hashes() == hashes(seconds_fit=2.0, compilations=0)
  assert hashes() != hashes(labels=21)


def test_every_difference_is_named():
  before = {'a': {'records': {'r': '1'}, 'programs': {'x': 'step'}}, 'b': {}}
  after = {'a': {'records': {'r': '2'}, 'programs': {'y': 'plan'}}}
  assert proof.compare(before, after) == [
    'a: record of r differs',
    'a: program step is only before',
    'a: program plan is only after',
  ]
  assert proof.compare(after, after) == []
