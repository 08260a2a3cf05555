r"""Selects examples to label from your own arrays, and writes a CSV.

    al-jax select --strategy=badge --k=100 --out=picks.csv \
        --embeddings=x.npy --logits=logits.npy --labeled=labeled.txt

The arrays are what a model says about each example of the pool: files .npy,
.npz, .csv, .tsv, .txt, .safetensors (extra: safetensors) or .parquet (extra:
parquet). Of a file with several arrays, FILE:KEY is one. Files larger than
memory are read in parts, by strategies that can. The CSV has the columns order,
id and value; --labeled takes such a file, or a list of ids, or a mask. Options
of a strategy:

    al-jax select --strategy=bald --k=10 --samples=samples.npz:logits \
        --strategy_options=draw=power --strategy_options=coldness=2
"""

import ast
import logging

from absl import flags

from al_jax import sources, xla
from al_jax.commands import ending
from al_jax.data.sources import single
from al_jax.strategies import offline

_ARRAYS = {
  'embeddings': flags.DEFINE_string(
    'embeddings', None, 'File of embeddings or features, [N, D].'
  ),
  'logits': flags.DEFINE_string('logits', None, 'File of logits, [N, C].'),
  'samples': flags.DEFINE_string(
    'samples',
    None,
    'File of logits of S dropout samples or networks, [S, N, C].',
  ),
}
_IDS = {
  'labeled': flags.DEFINE_string(
    'labeled',
    None,
    'File of the examples that have a label: ids, or a mask bool[N].',
  ),
  'ids': flags.DEFINE_string(
    'ids', None, 'File of ids, [N]; positions from 0 if not set.'
  ),
}
STRATEGY = flags.DEFINE_string(
  'strategy', None, 'Name of a strategy, or my_module.my_strategy.'
)
STRATEGY_OPTIONS = flags.DEFINE_multi_string(
  'strategy_options', [], 'NAME=VALUE, an option of the strategy; repeatable.'
)
K = flags.DEFINE_integer('k', None, 'Number of examples to select.')
SEED = flags.DEFINE_integer('seed', 0, 'Seed of every random choice.')
PLACEMENT = flags.DEFINE_enum(
  'placement',
  'auto',
  sources.PLACEMENTS,
  'Where the arrays are: device, in memory; host, in their files (.npy, '
  '.safetensors, .parquet), which may be larger than memory; auto, by size.',
)
OUT = flags.DEFINE_string('out', None, 'The CSV to write; printed if not set.')
# Other commands have flags of these names too; tests import them side by side.
OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Replace what is there already.', allow_override=True
)
COMPILATION_CACHE = flags.DEFINE_bool(
  'compilation_cache',
  True,
  'Keep compiled programs between processes, under AL_JAX_CACHE_DIR.',
  allow_override=True,
)


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; a bad flag ends the process with one line."""
  # JAX tells at INFO which backends a machine lacks.
  logging.getLogger('jax').setLevel(logging.WARNING)
  return ending.parse_flags(argv)


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(argv, _run)


def _read(read, of_flags):
  """The arrays of the flags that are set, by name."""
  found = {}
  for name, flag in of_flags.items():
    if flag.value is None:
      continue
    try:
      found[name] = read(flag.value)
    except FileNotFoundError as error:
      raise ValueError(
        f'--{name} is {flag.value!r}; there is no such file.'
      ) from error
  return found


def _run():
  for flag in (STRATEGY, K):
    if flag.value is None:
      raise ValueError(f'--{flag.name} is not set; see --help.')
  ending.check_out(OUT.value, overwrite=OVERWRITE.value)
  given = _read(single.read_numbers, _ARRAYS)
  given |= single.alike(_read(single.read_ids, _IDS))
  if COMPILATION_CACHE.value:
    xla.keep_programs(xla.program_cache())
  selected = offline.select(
    STRATEGY.value,
    K.value,
    seed=SEED.value,
    options=_options(STRATEGY_OPTIONS.value),
    placement=PLACEMENT.value,
    **given,
  )
  ending.write_csv(OUT.value, _rows(selected))
  return 0


def _options(texts):
  """Options by name; a value that is no literal of Python is text."""
  found = {}
  for text in texts:
    name, sign, value = text.partition('=')
    if not sign or name in found:
      raise ValueError(
        f'--strategy_options is {text!r}; it must be NAME=VALUE, each name '
        'once.'
      )
    try:
      found[name] = ast.literal_eval(value)
    except (ValueError, SyntaxError):
      found[name] = value
  return found


def _rows(selected):
  """The names of the columns, then a row for each."""
  yield 'order', single.ID, 'value'
  for order, (name, value) in enumerate(zip(*selected, strict=True)):
    # The fewest digits that read back as the same float32.
    yield order, name, str(value)
