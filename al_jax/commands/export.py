"""Writes the model of a finished run as a folder of plain files.

    al-jax export --workdir=runs/first --system=margin --seed=0 --out=model
    al-jax export --state=birds --out=model

The folder has weights.safetensors and config.json (extra: safetensors). The
model of a run is that of the last round. The model of a labelling project is
trained by this command, on the labels so far. `al-jax predict --model=model`
and `al_jax.load_model('model')` predict with it. A network of your own is
imported by its dotted path, from the current folder or from sys.path.
"""

from absl import flags

from al_jax.commands import ending
from al_jax.exporting import export

# `allow_override`: other commands have flags of these names, and tests import
# several commands.
WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'The folder of a run, or of a cell of a grid.',
  allow_override=True,
)
STATE = flags.DEFINE_string(
  'state',
  None,
  'The folder of a labelling project, instead of --workdir.',
  allow_override=True,
)
SYSTEM = flags.DEFINE_string(
  'system', None, 'The system; not needed if the run has only one.'
)
# The default only matches that of al-jax select; it is not used.
SEED = flags.DEFINE_integer(
  'seed',
  0,
  'The seed; not needed if the run has only one.',
  allow_override=True,
)
OUT = flags.DEFINE_string(
  'out', None, 'The folder to write, absent or empty.', allow_override=True
)


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; a bad flag ends the process with one line."""
  rest = ending.parse_flags(argv)
  ending.log_little()
  return rest


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  return ending.in_a_sentence(argv, _run)


def _run():
  if bool(WORKDIR.value) == bool(STATE.value):
    raise ValueError(
      'set either --workdir, the folder of a run, or --state, the folder of a '
      'labelling project.'
    )
  if not OUT.value:
    raise ValueError('--out is not set; name the folder to write.')
  made = export.export(
    WORKDIR.value or STATE.value,
    OUT.value,
    system=SYSTEM.value,
    seed=SEED.value if flags.FLAGS['seed'].present else None,
  )
  print(
    f'{made.folder}: {made.system}, seed {made.seed}, round {made.round}, the '
    f'last, trained on {made.labels} labels. On {made.compared} examples its '
    'predictions are bit-identical to those of its learner.'
  )
  print(f'Next: al-jax predict --model={made.folder} --config.data.source=...')
  return 0
