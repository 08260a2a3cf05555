r"""Asks people for labels, over days: ask, tell, status, page.

    al-jax label ask --state=DIR --pool=images:FOLDER --classes=cat,dog --k=20
    al-jax label tell --state=DIR batch.csv
    al-jax label status --state=DIR
    al-jax label page --state=DIR

`ask` trains on the answers so far and writes the next batch: batch.csv, with a
column label to fill in, batch.jsonl, and tasks for Label Studio. `tell` takes
the CSV, the JSONL or an export of Label Studio. The label of an example that
cannot be labelled is skip or unsure. A part of a batch may be told. `page`
serves a page on this machine to label in. The pool is pictures, a table, or
embeddings, none of them labelled:

    al-jax label ask --state=DIR --pool=file:embeddings.npy --classes=a,b --k=50
    al-jax label ask --state=DIR --pool=file:table.csv --classes=a,b --k=50 \
        --config.data.ids=name
    al-jax label ask --state=DIR --k=50 --config.systems=badge

--config.FIELD=VALUE changes a field of al_jax/labelling/defaults.py, from then
on. --pool and --classes are for the first batch alone.
"""

import functools
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags

from al_jax import errors, parts, xla
from al_jax.commands import config_flag, ending
from al_jax.labelling import answers, project
from al_jax.labelling.account import SKIP, UNSURE
from al_jax.storage import manifest

STATE = flags.DEFINE_string('state', None, 'The folder of the project.')
POOL = flags.DEFINE_string(
  'pool', None, 'ask: what to label: images:FOLDER, file:PATH, embed:...'
)
CLASSES = flags.DEFINE_list('classes', None, 'ask: what to choose from.')
BATCH_SIZE = flags.DEFINE_integer(
  'k', None, 'ask: number of queries.', allow_override=True
)
OUT = flags.DEFINE_string(
  'out', 'batch.csv', 'ask: the CSV to write.', allow_override=True
)
MORE = flags.DEFINE_bool(
  'more', False, 'ask: for others, although nothing was told since.'
)
GIVE_UP = flags.DEFINE_bool(
  'give_up', False, 'ask: give up what is pending; it may be asked again.'
)
FOLDS = flags.DEFINE_integer(
  'folds',
  5,
  'ask, page: folds of the estimate of the accuracy; 0: no estimate.',
)
ANNOTATOR = flags.DEFINE_string(
  'annotator', answers.SOMEBODY, 'tell, page: who answers.'
)
CORRECT = flags.DEFINE_bool(
  'correct', False, 'tell: an annotator may change an earlier answer.'
)

PORT = flags.DEFINE_integer(
  'port',
  0,
  'page: the port of the page; 0 takes a free one.',
  allow_override=True,
)

flags_of = config_flag, sys.modules[__name__]
# Examples in a line of `status`.
_MOST_SHOWN = 10
# What each action does not read is refused.
_READ_BY = {
  'ask': ('pool', 'classes', 'k', 'out', 'more', 'give_up', 'folds'),
  'tell': ('annotator', 'correct'),
  'status': (),
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
  """The config of the project that the command line names."""
  folder = ''
  for argument in argv:
    name, _, value = argument.lstrip('-').partition('=')
    if name == 'state':
      folder = value
  # Of what trains only where something is asked: telling takes no second.
  from al_jax.labelling import defaults

  return f'{defaults.__file__}:{folder}' if folder else defaults.__file__


def main(argv: list[str]) -> int:
  """Returns the exit status."""
  program, *rest = argv
  return ending.in_a_sentence([program], functools.partial(_act, rest))


def _act(rest):
  """Does what the first argument says."""
  action = rest[0] if rest else None
  if action not in _READ_BY:
    raise ValueError(
      f'{action or "nothing"} is no action of al-jax label; it must be one of: '
      f'{", ".join(_READ_BY)}.'
    )
  for others, names in _READ_BY.items():
    for name in names:
      if name not in _READ_BY[action] and flags.FLAGS[name].present:
        raise ValueError(f'--{name} is for al-jax label {others}.')
  if STATE.value is None:
    raise ValueError('--state is not set; name the folder of the project.')
  given = rest[1:]
  if action == 'tell':
    return _tell(given)
  if given:
    raise ValueError(f'{given[0]!r} is no flag, and {action} takes no file.')
  return {'ask': _ask, 'status': _status, 'page': _page}[action]()


def _ask():
  from al_jax.labelling import asking, batch_files, showing

  if BATCH_SIZE.value is None:
    raise ValueError('--k is not set; say how many to ask.')
  out = _out(OUT.value)
  config = manifest.plain_config(config_flag.CONFIG.value.to_dict())
  parts.search_in(config_flag.folders(_default_config(sys.argv)))
  xla.keep_programs(xla.program_cache())
  pool = config.pop('data')
  dataset = None
  if not project.has_begun(STATE.value):
    dataset = _begin(pool, config)
  else:
    _refuse_other_pool(pool)
    if GIVE_UP.value:
      print(f'{len(project.give_up(STATE.value))} pending queries given up.')
  now = project.of(STATE.value)
  dataset = dataset or asking.load_pool(now)
  batch = asking.propose(
    STATE.value,
    BATCH_SIZE.value,
    more=MORE.value,
    config=config,
    folds=FOLDS.value,
    dataset=dataset,
  )
  shown = showing.Shown(dataset, now.begun['pool'])
  written = batch_files.write(
    out, batch.queries, batch.positions, shown, now.classes
  )
  print(_in_words(batch))
  for path in written:
    print(path)
  print(
    "Fill in the column label of the CSV ('skip' or 'unsure' where there is "
    f'none), then: al-jax label tell --state={STATE.value} {out}'
  )
  return 0


def _out(text):
  """The path of the CSV; what cannot be written is refused before any work."""
  out = pathlib.Path(text)
  if out.suffix.lower() != '.csv':
    raise ValueError(f'--out is {text}; it must end in .csv.')
  if not out.parent.is_dir():
    raise ValueError(f'--out is {text}; there is no folder {out.parent}.')
  return out


def _begin(pool: Mapping[str, Any], config):
  """Begins the project of a first batch."""
  from al_jax.labelling import asking

  if CLASSES.value is None:
    raise ValueError('--classes is not set; name what people choose from.')
  spec = {**pool, 'source': POOL.value or pool['source']}
  if not spec['source']:
    raise ValueError('--pool is not set; say what is to be labelled.')
  return asking.begin(STATE.value, spec, CLASSES.value, config=config)


def _refuse_other_pool(pool):
  """A project has one pool and one list of classes."""
  now = project.of(STATE.value)
  source = now.begun['pool']['source']
  if POOL.value not in (None, source):
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
  """What was asked, and how good the model is."""
  how = 'as before: nothing was told since' if not batch.is_new else ''
  if not how:
    how = f'the largest first by {batch.score}' if batch.score else 'drawn'
  lines = [f'Batch {batch.number}: {len(batch.queries)} queries, {how}.']
  if batch.accuracy is not None:
    lines.append(_accuracy(batch.accuracy))
  hint = project.status(STATE.value).hint
  return '\n'.join([*lines, hint] if hint else lines)


def _accuracy(found):
  how = (
    'They were drawn at random: it holds for the pool.'
    if found['is_drawn']
    else 'Most were chosen because they are hard: on the pool it is as a rule '
    'higher.'
  )
  return (
    f'Accuracy {100 * found["mean"]:.1f}% ± {100 * found["standard_error"]:.1f}'
    f', estimated by {found["folds"]}-fold cross-validation on '
    f'{found["labels"]} labels. {how}'
  )


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
  again = f', {checked.again} told before' if checked.again else ''
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


def _status():
  print(_described(project.status(STATE.value)))
  return 0


def _described(found: project.Status) -> str:
  """Where a project is, in lines."""
  now = found.account
  labels = list(now.labels.values())
  by_class = ', '.join(f'{name} {labels.count(name)}' for name in now.classes)
  lines = [
    f'Pool: {found.num_examples:,} examples of {now.begun["pool"]["source"]}.',
    f'Labels: {len(labels)} ({by_class}).',
    f'Batches: {len(now.batches)}, chosen by '
    f'{", ".join(now.config["systems"])}; {len(now.pending)} queries pending.',
  ]
  for word, names in (
    ('skipped', now.without_label(SKIP)),
    ('unsure', now.without_label(UNSURE)),
    ('disputed', now.disputed),
  ):
    if names:
      shown = ', '.join(names[:_MOST_SHOWN])
      more = f', and {len(names) - _MOST_SHOWN} more'
      more = more if len(names) > _MOST_SHOWN else ''
      lines.append(f'{len(names)} {word}: {shown}{more}.')
  if found.accuracies:
    lines.append(_accuracy(found.accuracies[-1][1]))
  return '\n'.join([*lines, found.hint] if found.hint else lines)
