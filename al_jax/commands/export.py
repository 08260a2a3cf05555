"""Writes the model of a finished run as a folder of plain files.

    al-jax export --workdir=runs/first --system=margin --seed=0 --out=model
    al-jax export --state=birds --out=model

The folder has weights.safetensors and config.json (extra: safetensors). The
model of a run is that of the last round; that of a labelling project is trained
on the labels so far, now. `al-jax predict --model=model` and
`al_jax.load_model('model')` predict with it. A network of yours is imported by
its dotted path, from the current folder or from sys.path.
"""

from absl import flags

from al_jax.commands import ending
from al_jax.exporting import export

# Other commands have flags of these names too; tests import them side by side.
WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'The results of a run; of a grid, the folder of a cell.',
  allow_override=True,
)
STATE = flags.DEFINE_string(
  'state',
  None,
  'The folder of a labelling project, in place of --workdir.',
  allow_override=True,
)
SYSTEM = flags.DEFINE_string(
  'system', None, 'Whose model; not needed if the run has one system.'
)
# The default is that of al-jax select, and is not read.
SEED = flags.DEFINE_integer(
  'seed',
  0,
  'Of which seed; not needed if the run has one.',
  allow_override=True,
)
OUT = flags.DEFINE_string(
  'out', None, 'The folder to write; absent or empty.', allow_override=True
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
      'set --workdir, the folder of a run, or --state, that of a labelling '
      'project.'
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
    f'last, trained on {made.labels} labels. It predicts {made.compared} '
    'examples as its learner does, bit for bit.'
  )
  print(f'Next: al-jax predict --model={made.folder} --config.data.source=...')
  return 0
