r"""Predicts the examples of a data source with an exported model, as a CSV.

    al-jax predict --model=model --config.data.source=file:new.csv \
        --out=predictions.csv
    al-jax predict --model=model --config.data.source=images:photos
    al-jax predict --model=model --config.data.source=tfds:mnist --split=test

A row has the id of an example, the predicted class and the probability of each
class; for other tasks, the predicted numbers. Files and folders are read as
unlabelled examples. If they have labels, name the column with
--config.data.target, or the file with --config.data.labels; the labels are not
used. Other options of the source are --config.data.NAME, as for al-jax run.
"""

import pathlib
import sys

from absl import flags

from al_jax import parts, xla
from al_jax.commands import config_flag, ending
from al_jax.exporting import defaults, model, predicting
from al_jax.storage import manifest

MODEL = flags.DEFINE_string(
  'model', None, 'The folder that al-jax export wrote.'
)
SPLIT = flags.DEFINE_enum(
  'split',
  'all',
  predicting.SPLITS,
  'The examples; all takes the training split, then the others.',
)
# `allow_override`: other commands have flags of these names, and tests import
# several commands.
OUT = flags.DEFINE_string(
  'out',
  None,
  'The CSV to write; printed if not set.',
  allow_override=True,
)
OVERWRITE = flags.DEFINE_bool(
  'overwrite', False, 'Replace an existing file.', allow_override=True
)

flags_of = config_flag, sys.modules[__name__]


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; a bad flag or config ends the process."""
  return config_flag.parse(argv, defaults.__file__)


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(argv, _run)


def _run():
  if not MODEL.value:
    raise ValueError('--model is not set; name the folder of a model.')
  ending.check_out(OUT.value, overwrite=OVERWRITE.value)
  parts.search_in(config_flag.folders(defaults.__file__))
  xla.keep_programs(xla.program_cache())
  config = manifest.plain_config(config_flag.CONFIG.value.to_dict())
  predicting.check_config(config)
  loaded = model.load_model(MODEL.value)
  _check_not_read(config['data'], OUT.value)
  ids, inputs = predicting.examples(loaded, config['data'], SPLIT.value)
  found = predicting.table(loaded, ids, inputs, chunk_size=config['chunk_size'])
  ending.write_csv(OUT.value, found)
  return 0


def _check_not_read(spec, out):
  """Raises ValueError if the output would overwrite the source."""
  source = spec if isinstance(spec, str) else str(spec['source'])
  location = pathlib.Path(source.partition(':')[2])
  is_file = out is not None and pathlib.Path(out).exists()
  if is_file and location.exists() and location.samefile(out):
    raise ValueError(f'--out is {out}, which is the source; name another file.')
