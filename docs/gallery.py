"""Makes the gallery: runs small experiments and writes `gallery.md`.

    python docs/gallery.py          # 4 minutes on 2 cores

Figures are those of the reports, copied as they are.
"""

import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

DOCS = pathlib.Path(__file__).parent
IMAGES = DOCS / 'images' / 'gallery'


class Experiment(NamedTuple):
  """A run on a small data set of scikit-learn.

  Attributes:
    about: Sentence about the run.
    command: `run` or `stream`.
    options: fields of the config.
  """

  about: str
  command: str
  options: dict[str, str]


class Figure(NamedTuple):
  """A figure of a report.

  Attributes:
    title: heading.
    caption: how to read it.
    experiment: key in `EXPERIMENTS`.
    file: its name below the workdir.
  """

  title: str
  caption: str
  experiment: str
  file: str


_ROUNDS = {'protocol.labels_per_round': '20', 'protocol.rounds': '8'}
EXPERIMENTS = {
  'digits': Experiment(
    'Handwritten digits, four strategies, three seeds.',
    'run',
    {
      'data.source': 'digits',
      'systems': 'random,entropy,badge,core_set',
      'seeds': '3',
      'describe.batches': 'True',
      'protocol.first_size': '20',
      **_ROUNDS,
    },
  ),
  'modules': Experiment(
    'The same digits, and a network with a module that predicts losses.',
    'run',
    {
      'data.source': 'digits',
      'systems': 'random,learning_loss',
      'seeds': '2',
      'model.name': 'cnn',
      'protocol.first_size': '40',
      **_ROUNDS,
    },
  ),
  'numbers': Experiment(
    'Diabetes: the progress of a disease, a number.',
    'run',
    {
      'data.source': 'diabetes',
      'systems': 'random,core_set,k_means',
      'seeds': '5',
      'model.widths': '(64,)',
      'protocol.first_size': '20',
      **_ROUNDS,
    },
  ),
  'stream': Experiment(
    'The digits as a stream that passes once; one in ten may be queried.',
    'stream',
    {
      'data.source': 'digits',
      'systems': 'margin,random',
      'stream.manager': 'balanced',
      'protocol.first_set': 'first',
      'seeds': '3',
    },
  ),
}
FIGURES = (
  Figure(
    'Learning curves',
    'Test accuracy by labels paid for: mean over seeds, and one standard error '
    'to each side.',
    'digits',
    'report/*_curves.svg',
  ),
  Figure(
    'Queries',
    'The examples that a strategy queried, one row per round, with their '
    'labels.',
    'digits',
    'gallery_badge.png',
  ),
  Figure(
    'Batches',
    'Descriptions of each batch with `--config.describe.batches=True`, such as '
    'the share of near-duplicates in it.',
    'digits',
    'report/*_batches.svg',
  ),
  Figure(
    'Calibration',
    'Log loss and calibration error of the predictions on the test split: how '
    'far the confidence of the model is from its accuracy.',
    'digits',
    'report/*_calibration.svg',
  ),
  Figure(
    'Time',
    'Seconds that each system spent on training, measuring and selecting.',
    'digits',
    'report/*_seconds.svg',
  ),
  Figure(
    'Reports of a learner',
    'Metrics that a learner adds; here, how well a module ranks examples by '
    'their loss.',
    'modules',
    'report/*_reports.svg',
  ),
  Figure(
    'Errors instead of accuracy',
    'Tasks declare their metrics. Lower is better for an error, and the report '
    'looks for the lowest.',
    'numbers',
    'report/*_curves.svg',
  ),
  Figure(
    'Streams',
    'Prequential accuracy and the share of examples queried, over the stream.',
    'stream',
    'report/*_stream.svg',
  ),
)


def words(experiment: Experiment, workdir: str) -> list[str]:
  """Returns the command of an experiment, without `al-jax`."""
  options = [
    f'--config.{name}={value}' for name, value in experiment.options.items()
  ]
  return [experiment.command, *options, f'--workdir={workdir}']


def main() -> None:
  """Runs all experiments, copies their figures and writes the page."""
  al_jax = [sys.executable, '-m', 'al_jax']
  shutil.rmtree(IMAGES, ignore_errors=True)
  IMAGES.mkdir(parents=True)
  with tempfile.TemporaryDirectory() as folder:
    for name, experiment in EXPERIMENTS.items():
      for command in (
        [*words(experiment, name), '--quiet'],
        ['report', f'--workdir={name}'],
      ):
        subprocess.run([*al_jax, *command], cwd=folder, check=True)
    copies = [copied(pathlib.Path(folder), figure) for figure in FIGURES]
  (DOCS / 'gallery.md').write_text(page(copies), encoding='utf-8')


def copied(folder: pathlib.Path, figure: Figure) -> str:
  """Copies a figure; returns its path from the page."""
  [path] = (folder / figure.experiment).glob(figure.file)
  copy = IMAGES / f'{figure.experiment}_{path.stem.split("_")[-1]}{path.suffix}'
  shutil.copy(path, copy)
  return copy.relative_to(DOCS).as_posix()


def page(copies: list[str]) -> str:
  """Returns the page; `copies` are the paths of the figures in order."""
  parts = [
    '# Gallery',
    'Figures of `al-jax report` from small runs. Each command takes about a '
    'minute. The page is made by `python docs/gallery.py`.',
  ]
  for figure, copy in zip(FIGURES, copies, strict=True):
    parts += [f'## {figure.title}', figure.caption]
    parts.append(f'![{figure.title}]({copy})')
    parts.append(f'From the run `{figure.experiment}` below.')
  parts.append('## The runs')
  for name, experiment in EXPERIMENTS.items():
    command = shlex.join(words(experiment, f'runs/{name}'))
    parts += [
      f'`{name}`: {experiment.about}',
      f'    al-jax {command}\n    al-jax report --workdir=runs/{name}',
    ]
  return '\n\n'.join(parts) + '\n'


if __name__ == '__main__':
  main()
