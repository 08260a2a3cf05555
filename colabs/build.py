"""Makes the notebooks from their scripts, and runs each once.

    python -m colabs.build            # all
    python -m colabs.build 01 04      # some

Needs the extra `colab`.
"""

import pathlib
import sys

import jupytext
import nbclient
import nbformat

FOLDER = pathlib.Path(__file__).parent
# As rendered on a page: more is a picture with too many dots.
MOST_BYTES = 400_000


def scripts(prefixes: tuple[str, ...] = ('',)) -> list[pathlib.Path]:
  """The notebooks as scripts, in order."""
  return [
    path
    for path in sorted(FOLDER.glob('[0-9]*.py'))
    if path.name.startswith(prefixes)
  ]


def from_script(path: pathlib.Path) -> nbformat.NotebookNode:
  """A script in the percent format as a notebook, not yet run.

  Args:
    path: of the script.

  Returns:
    The notebook. Names of cells are numbers, so that making it again changes
    nothing.
  """
  notebook = jupytext.read(path)
  for number, cell in enumerate(notebook.cells):
    cell['id'] = f'cell-{number}'
  return notebook


def run(notebook: nbformat.NotebookNode, folder: pathlib.Path | str) -> None:
  """Runs a notebook in a folder; what its cells show is written into it.

  Args:
    notebook: changed in place.
    folder: the working directory of its cells.

  Raises:
    nbclient.exceptions.CellExecutionError: a cell that fails.
  """
  client = nbclient.NotebookClient(
    notebook,
    timeout=600,
    kernel_name='python3',
    record_timing=False,
    resources={'metadata': {'path': str(folder)}},
  )
  client.execute()
  # Of the Python that ran it: not a property of the notebook.
  notebook.metadata.pop('language_info', None)


def main(prefixes: list[str]) -> None:
  """Writes the notebooks beside their scripts."""
  for path in scripts(tuple(prefixes) or ('',)):
    notebook = from_script(path)
    run(notebook, FOLDER.parent)
    text = nbformat.writes(notebook) + '\n'
    size = len(text.encode())
    if size > MOST_BYTES:
      raise ValueError(
        f'{path.stem} would have {size} bytes; it must be at most {MOST_BYTES}.'
      )
    path.with_suffix('.ipynb').write_text(text, encoding='utf-8')
    print(f'{path.stem}.ipynb: {size / 1000:.0f} kB')


if __name__ == '__main__':
  main(sys.argv[1:])
