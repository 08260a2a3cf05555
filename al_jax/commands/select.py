r"""Selects examples to label from your own arrays, and writes a CSV.

    al-jax select --strategy=badge --k=100 --out=picks.csv \
        --embeddings=x.npy --logits=logits.npy --labeled=labeled.txt

The arrays are the outputs of a model for the pool: .npy, .npz, .csv, .tsv,
.txt, .safetensors (extra: safetensors) or .parquet (extra: parquet) files.
FILE:KEY is one array of a file with several. Strategies that can read in parts
take files larger than memory. The CSV has the columns order, id and value;
--labeled takes such a file, a list of ids, or a mask. Options of a strategy:

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
    'File of the logits of S dropout samples or networks, [S, N, C].',
  ),
}
_IDS = {
  'labeled': flags.DEFINE_string(
    'labeled',
    None,
    'File of the labelled examples: ids, or a mask bool[N].',
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
SEED = flags.DEFINE_integer('seed', 0, 'Seed of all random choices.')
PLACEMENT = flags.DEFINE_enum(
  'placement',
  'auto',
  sources.PLACEMENTS,
  'Place of the arrays: device, in memory; host, in their files (.npy, '
  '.safetensors, .parquet), which may be larger than memory; auto, by size.',
)
OUT = flags.DEFINE_string('out', None, 'The CSV to write; printed if not set.')
# `allow_override`: other commands have flags of these names, and tests import
# several commands.
OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Replace an existing file.', allow_override=True
)
COMPILATION_CACHE = flags.DEFINE_bool(
  'compilation_cache',
  True,
  'Keep compiled programs between processes, under AL_JAX_CACHE_DIR.',
  allow_override=True,
)


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; a bad flag ends the process with one line."""
  # At INFO, JAX logs missing backends.
  logging.getLogger('jax').setLevel(logging.WARNING)
  return ending.parse_flags(argv)


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(argv, _run)


def _read(read, of_flags):
  """Reads the files of the flags that are set; returns arrays by name."""
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
  """Parses options; a value that is not a Python literal is text."""
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
  """Yields the names of the columns, then a row per selected example."""
  yield 'order', single.ID, 'value'
  for order, (name, value) in enumerate(zip(*selected, strict=True)):
    # `str`: the fewest digits that read back as the same float32.
    yield order, name, str(value)
