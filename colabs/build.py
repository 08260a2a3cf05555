"""Builds the notebooks from their scripts and runs each once.

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
# A larger notebook has a figure with too many dots.
MOST_BYTES = 400_000


def scripts(prefixes: tuple[str, ...] = ('',)) -> list[pathlib.Path]:
  """Lists the scripts of the notebooks, in order."""
  return [
    path
    for path in sorted(FOLDER.glob('[0-9]*.py'))
    if path.name.startswith(prefixes)
  ]


def from_script(path: pathlib.Path) -> nbformat.NotebookNode:
  """Converts a script in the percent format to a notebook, without running it.

  Args:
    path: Path of the script.

  Returns:
    The notebook. The ids of its cells are numbers, so that building it again
    changes nothing.
  """
  notebook = jupytext.read(path)
  for number, cell in enumerate(notebook.cells):
    cell['id'] = f'cell-{number}'
  return notebook


def run(notebook: nbformat.NotebookNode, folder: pathlib.Path | str) -> None:
  """Runs a notebook and writes the outputs into its cells.

  Args:
    notebook: The notebook; changed in place.
    folder: Working directory of the cells.

  Raises:
    nbclient.exceptions.CellExecutionError: If a cell fails.
  """
  client = nbclient.NotebookClient(
    notebook,
    timeout=600,
    kernel_name='python3',
    record_timing=False,
    resources={'metadata': {'path': str(folder)}},
  )
  client.execute()
  # It describes the Python that ran the notebook, and would differ elsewhere.
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
        f'{path.stem} has {size} bytes; a notebook may have at most '
        f'{MOST_BYTES}.'
      )
    path.with_suffix('.ipynb').write_text(text, encoding='utf-8')
    print(f'{path.stem}.ipynb: {size / 1000:.0f} kB')


if __name__ == '__main__':
  main(sys.argv[1:])
