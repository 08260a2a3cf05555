"""The notebooks run, and are what their scripts say."""

import importlib.util
import pathlib
import runpy
import warnings

import jax
import pytest

COLABS = pathlib.Path(__file__).parent.parent / 'colabs'
SCRIPTS = sorted(COLABS.glob('[0-9]*.py'))
MISSING = [
  name
  for name in ('IPython', 'ipykernel', 'jupytext', 'nbclient', 'nbformat')
  if importlib.util.find_spec(name) is None
]
pytestmark = pytest.mark.skipif(
  bool(MISSING), reason=f'{MISSING} not installed; they are in the extra colab'
)
every_script = pytest.mark.parametrize(
  'script', SCRIPTS, ids=[script.stem for script in SCRIPTS]
)


def build():
  from colabs import build

  return build


def committed(script):
  import nbformat

  notebook = nbformat.read(script.with_suffix('.ipynb'), as_version=4)
  nbformat.validate(notebook)
  return notebook


def test_there_are_thirteen():
  numbers = [script.name[:2] for script in SCRIPTS]
  assert numbers == [f'{number:02}' for number in range(1, 14)]


@every_script
def test_runs(script, tmp_path, monkeypatch):
  import matplotlib
  from matplotlib import pyplot

  matplotlib.use('Agg')
  monkeypatch.chdir(tmp_path)
  # Pictures of their own go to a new folder of the temporary ones.
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
  try:
    with warnings.catch_warnings():
      # On a page a warning would be a block of red with a path in it.
      warnings.simplefilter('error', UserWarning)
      runpy.run_path(str(script), run_name='__main__')
    assert pyplot.get_fignums() or list(tmp_path.rglob('*.png'))
  finally:
    pyplot.close('all')


@every_script
def test_the_notebook_is_that_of_the_script(script):
  def sources(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]

  assert sources(committed(script)) == sources(build().from_script(script)), (
    f'{script.name} has changed: python -m colabs.build {script.name[:2]}'
  )


@every_script
def test_the_notebook_was_run_once_from_its_beginning(script):
  cells = [c for c in committed(script).cells if c.cell_type == 'code']
  counts = [cell.execution_count for cell in cells]
  assert counts == list(range(1, len(cells) + 1))
  outputs = [output for cell in cells for output in cell.outputs]
  assert not [o for o in outputs if o.output_type == 'error']
  assert not [o.text for o in outputs if o.get('name') == 'stderr']
  assert any('image/png' in o.get('data', {}) for o in outputs)


@every_script
def test_the_notebook_is_small_and_tells_nothing_of_its_machine(script):
  path = script.with_suffix('.ipynb')
  assert path.stat().st_size < build().MOST_BYTES
  text = path.read_text(encoding='utf-8')
  for trace in (str(COLABS.parent), str(pathlib.Path.home()), 'object at 0x'):
    assert trace not in text


@every_script
def test_the_badge_opens_this_notebook(script):
  link = (
    'https://colab.research.google.com/github/OWNER/al_jax/blob/main/colabs/'
  )
  badge, install = committed(script).cells[:2]
  # Where the owner has been put in, the two places agree.
  assert f'{script.stem}.ipynb' in badge.source
  assert link.partition('OWNER')[0] in badge.source
  owner = badge.source.partition('/github/')[2].partition('/')[0]
  assert f'https://github.com/{owner}/al_jax' in install.source


def test_one_runs_in_a_kernel(tmp_path, monkeypatch):
  monkeypatch.setenv('JUPYTER_RUNTIME_DIR', str(tmp_path / 'runtime'))
  monkeypatch.setenv('IPYTHONDIR', str(tmp_path / 'ipython'))
  # What the test of the script has compiled need not be compiled again.
  for option in (
    'jax_compilation_cache_dir',
    'jax_persistent_cache_min_compile_time_secs',
  ):
    monkeypatch.setenv(option.upper(), str(getattr(jax.config, option)))
  notebook = build().from_script(SCRIPTS[3])
  build().run(notebook, tmp_path)
  shown = [
    output
    for cell in notebook.cells
    for output in cell.get('outputs', [])
    if 'image/png' in output.get('data', {})
  ]
  assert len(shown) == 3
