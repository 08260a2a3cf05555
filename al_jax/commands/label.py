r"""Collects labels from people, over days: ask, tell, status, page, export.

    al-jax label ask --state=DIR --pool=images:FOLDER --classes=cat,dog --k=20
    al-jax label tell --state=DIR batch.csv
    al-jax label status --state=DIR
    al-jax label page --state=DIR
    al-jax label export --state=DIR --out=labels.csv

`ask` trains on the answers so far and writes the next batch: batch.csv, with a
column label to fill in, batch.jsonl, and tasks for Label Studio. `tell` takes
the CSV, the JSONL or an export of Label Studio. The label of an example that
cannot be labelled is skip or unsure. A batch may be answered in parts. `page`
serves a page on this machine to label on; it needs no `ask`. `export` writes
the status of each queried example. The pool is pictures, a table, or
embeddings, without labels:

    al-jax label ask --state=DIR --pool=file:embeddings.npy --classes=a,b --k=50
    al-jax label ask --state=DIR --pool=file:table.csv --classes=a,b --k=50 \
        --config.data.ids=name
    al-jax label ask --state=DIR --k=50 --config.systems=badge

--config.FIELD=VALUE changes a field of al_jax/labelling/defaults.py, from then
on. Only the first batch needs --pool and --classes.
"""

import csv
import functools
import itertools
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags

from al_jax import errors, files, parts, xla
from al_jax.commands import config_flag, ending
from al_jax.labelling import account, answers, project
from al_jax.storage import manifest

STATE = flags.DEFINE_string('state', None, 'The folder of the project.')
POOL = flags.DEFINE_string(
  'pool', None, 'ask: the pool: images:FOLDER, file:PATH or embed:...'
)
CLASSES = flags.DEFINE_list('classes', None, 'ask: classes to choose from.')
BATCH_SIZE = flags.DEFINE_integer(
  'k', None, 'ask: number of queries.', allow_override=True
)
OUT = flags.DEFINE_string(
  'out',
  None,
  'ask: the CSV to write, batch.csv if not set; export: printed if not set.',
  allow_override=True,
)
MORE = flags.DEFINE_bool(
  'more', False, 'ask: another batch, although no answer was recorded since.'
)
PENDING = flags.DEFINE_bool(
  'pending', False, 'ask: no new batch; write all pending queries again.'
)
GIVE_UP = flags.DEFINE_bool(
  'give_up', False, 'ask: give up pending queries; they may be asked again.'
)
FOLDS = flags.DEFINE_integer(
  'folds',
  5,
  'ask, page: folds of the estimate of the accuracy; 0 for no estimate.',
)
ANNOTATOR = flags.DEFINE_string(
  'annotator', account.SOMEBODY, 'tell, page: name of the annotator.'
)
CORRECT = flags.DEFINE_bool(
  'correct', False, 'tell: annotators may change their earlier answers.'
)

PORT = flags.DEFINE_integer(
  'port',
  0,
  'page: the port of the page; 0 takes a free one.',
  allow_override=True,
)

flags_of = config_flag, sys.modules[__name__]
# The flags that each action reads; others are rejected.
_READ_BY = {
  'ask': (
    *('pool', 'classes', 'k', 'out', 'more', 'pending', 'give_up', 'folds'),
  ),
  'tell': ('annotator', 'correct'),
  'status': (),
  'export': ('out',),
  'page': ('annotator', 'folds', 'port'),
}


def parse_flags(argv: list[str]) -> list[str]:
  """Parses the command line; a bad flag or config ends the process."""
  if argv[1:2] != ['ask']:
    rest = ending.parse_flags(argv)
    ending.log_little()
    return rest
  return config_flag.parse(argv, _default_config(argv))


def _default_config(argv):
  """Returns the config file of the project that the command line names."""
  folder = ''
  for argument, following in itertools.zip_longest(argv, argv[1:]):
    name, sign, value = argument.lstrip('-').partition('=')
    if name == 'state' and argument.startswith('-'):
      folder = value if sign else following or ''
  # Imported late: it is slow, and `tell` does not need it.
  from al_jax.labelling import defaults

  return f'{defaults.__file__}:{folder}' if folder else defaults.__file__


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  program, *rest = argv
  return ending.in_a_sentence([program], functools.partial(_act, rest))


def _act(rest):
  """Runs the action that the first argument names."""
  action = rest[0] if rest else None
  if action not in _READ_BY:
    what = (
      'no action is named' if action is None else f'{action!r} is not an action'
    )
    raise ValueError(
      f'{what}: al-jax label is followed by one of {", ".join(_READ_BY)}.'
    )
  for name in {name for names in _READ_BY.values() for name in names}:
    if name not in _READ_BY[action] and flags.FLAGS[name].present:
      readers = [each for each in _READ_BY if name in _READ_BY[each]]
      raise ValueError(f'--{name} is for al-jax label {", ".join(readers)}.')
  if STATE.value is None:
    raise ValueError('--state is not set; name the folder of the project.')
  given = rest[1:]
  if action == 'tell':
    return _tell(given)
  if given:
    raise ValueError(f'{given[0]!r} is not a flag, and {action} takes no file.')
  return _ACTIONS[action]()


def _ask():
  from al_jax.labelling import asking, batch_files, showing

  if BATCH_SIZE.value is None and not PENDING.value:
    raise ValueError('--k is not set; set the number of queries.')
  out = pathlib.Path('batch.csv' if OUT.value is None else OUT.value)
  folder = pathlib.Path(STATE.value)
  batch_files.check(out, folder)
  config = manifest.plain_config(config_flag.CONFIG.value.to_dict())
  parts.search_in(config_flag.folders(_default_config(sys.argv)))
  xla.keep_programs(xla.program_cache())
  pool = config.pop('data')
  if not project.has_begun(folder):
    dataset = _begin(pool, config)
  else:
    _refuse_other_pool(pool)
    dataset = asking.load_pool(project.of(folder))
  if GIVE_UP.value:
    print(f'{len(project.give_up(folder))} pending queries given up.')
  if PENDING.value:
    batch = asking.pending(folder, dataset)
    said = f'All that is pending: {len(batch.queries)} queries.'
  else:
    batch = asking.propose(
      folder,
      BATCH_SIZE.value,
      more=MORE.value,
      config=config,
      folds=FOLDS.value,
      dataset=dataset,
    )
    said = _in_words(batch)
  now = project.of(folder)
  shown = showing.Shown(dataset, now.begun['pool'])
  written = batch_files.write(
    out, batch.queries, batch.positions, shown, now.classes
  )
  print(said)
  for path in written:
    print(path)
  print(
    "Fill in the column label of the CSV ('skip' or 'unsure' where there is "
    f'none), then: al-jax label tell --state={STATE.value} {out}'
  )
  return 0


def _begin(pool: Mapping[str, Any], config):
  """Begins the project of a first batch."""
  from al_jax.labelling import asking

  spec = {**pool, 'source': POOL.value or pool['source']}
  if CLASSES.value is None or not spec['source']:
    raise ValueError(
      f'--state is {STATE.value}, which has no labelling project. To begin one '
      'set --pool, the examples to label, and --classes, the classes to choose '
      'from.'
    )
  return asking.begin(STATE.value, spec, CLASSES.value, config=config)


def _refuse_other_pool(pool):
  """Rejects a pool or classes that differ from those of the project."""
  from al_jax.labelling import asking

  now = project.of(STATE.value)
  source = now.begun['pool']['source']
  if POOL.value is not None and asking.absolute(POOL.value) != source:
    raise ValueError(
      f'--pool is {POOL.value}; the pool of {STATE.value} is {source}. Another '
      'pool needs another --state.'
    )
  if pool != now.begun['pool']:
    raise ValueError(
      f'config.data differs from the pool of {STATE.value}, {source}: another '
      'pool needs another --state.'
    )
  if CLASSES.value not in (None, now.classes):
    raise ValueError(
      f'--classes is {",".join(CLASSES.value)}; the project in {STATE.value} '
      f'has {",".join(now.classes)}.'
    )


def _in_words(batch):
  """Describes a batch, and the quality of the model."""
  if batch.is_drawn:
    how = 'drawn at random'
  elif not batch.labels:
    how = 'spread over the pool'
  elif batch.score:
    how = f'chosen by the largest value: {batch.score}'
  else:
    how = 'chosen together'
  lines = [f'Batch {batch.number}: {len(batch.queries)} queries, {how}.']
  if not batch.is_new:
    lines.append(
      'It is the same as before, because no answer was recorded since; --more '
      'asks for another batch.'
    )
  if batch.estimate is not None:
    found = project.described(batch.estimate)
    lines.append(found[0].upper() + found[1:])
  elif batch.labels and FOLDS.value:
    lines.append(
      f'No estimate of the accuracy: there are {batch.labels} labels, too few '
      f'for {FOLDS.value} folds.'
    )
  hint = project.status(STATE.value).hint
  return '\n'.join([*lines, hint] if hint else lines)


def _tell(paths):
  if not paths:
    raise ValueError('name one or more files of answers: tell answers.csv')
  given = []
  for path in paths:
    given += answers.read(path, annotator=ANNOTATOR.value)
  checked = project.tell(STATE.value, given, correct=CORRECT.value)
  for dispute in checked.disputes:
    print(dispute)
  now = project.of(STATE.value)
  again = f', {checked.again} known before' if checked.again else ''
  print(
    f'{len(checked.new)} answers taken{again}; {len(now.labels)} labels in '
    f'all, {len(now.pending)} queries pending.'
  )
  return 0


def _page():
  with errors.needs('al-jax label page'):
    from al_jax.pages import label_page, server
  xla.keep_programs(xla.program_cache())
  labelling = label_page.Labelling(
    pathlib.Path(STATE.value), annotator=ANNOTATOR.value, folds=FOLDS.value
  )
  server.serve(label_page.application(labelling), PORT.value)
  return 0


def _export():
  now = project.of(STATE.value)
  if OUT.value is None:
    _write_labels(sys.stdout, now)
    return 0
  if pathlib.Path(OUT.value).exists():
    raise ValueError(f'--out is {OUT.value}, which exists; name another file.')
  with files.replacing(OUT.value) as path, path.open('w', newline='') as file:
    _write_labels(file, now)
  print(OUT.value)
  return 0


def _write_labels(file, now):
  """Writes the label and the status of each queried example, in order."""
  rows = csv.writer(file, lineterminator='\n')
  rows.writerow(('id', 'label', 'status', 'batch', 'answers'))
  for name, number in now.asked.items():
    said = now.answers.get(name, {})
    answers_of = '; '.join(f'{who}: {label}' for who, label in said.items())
    label = now.label_of(name) or ''
    rows.writerow((name, label, now.status_of(name), number, answers_of))


def _status():
  print(project.status(STATE.value))
  return 0


_ACTIONS = {
  'ask': _ask,
  'status': _status,
  'page': _page,
  'export': _export,
}
