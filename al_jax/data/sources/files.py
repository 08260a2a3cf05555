"""Reads data sets from files: .npz, .npy, IDX, .csv, .tsv and .parquet."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from al_jax import errors
from al_jax.data import columns, filling, splits
from al_jax.data.columns import Declared
from al_jax.data.dataset import RawData
from al_jax.data.sources import arrays, delimited, idx, parquet, tables

_GAP_OPTIONS = ('missing', 'categories')
# Options about labels, which exclude `classes`.
_LABELS = ('target', 'targets', 'scale', 'test', 'test_inputs', 'test_targets')
_TABLE_OPTIONS = (
  *_GAP_OPTIONS,
  'target',
  'targets',
  'scale',
  'features',
  'test',
  'ids',
  'index_col',
)
_ARRAY_OPTIONS = (
  'targets',
  'scale',
  'test_inputs',
  'test_targets',
  'ids',
  *_GAP_OPTIONS,
)
# Options by kind of file.
_OPTIONS = {
  '.npz': ('inputs', *_ARRAY_OPTIONS),
  '.npy': _ARRAY_OPTIONS,
  '.idx': _ARRAY_OPTIONS,
  '.csv': ('header', 'delimiter', *_TABLE_OPTIONS),
  '.tsv': ('header', 'delimiter', *_TABLE_OPTIONS),
  '.parquet': _TABLE_OPTIONS,
}


def read(
  location: str,
  *,
  inputs: str | None = None,
  targets: str | Sequence[tables.Column] | None = None,
  scale: float | None = None,
  test_inputs: str | None = None,
  test_targets: str | None = None,
  target: tables.Column | None = None,
  features: Sequence[tables.Column] | None = None,
  index_col: tables.Column | None = None,
  test: str | None = None,
  classes: Sequence[str] | None = None,
  header: bool | None = None,
  delimiter: str | None = None,
  ids: tables.Column | None = None,
  missing: str | Mapping[tables.Column, str] | None = None,
  categories: str | Sequence[tables.Column] | Mapping | None = None,
  test_fraction: float = 0.1,
  split_seed: int = 0,
  max_train: int | None = 50_000,
) -> RawData:
  """Reads a data set from a file.

  Arrays of shape [N, D] are tables; [N, H, W] and [N, H, W, channels] with 1, 3
  or 4 channels are images. uint8 stays uint8; all other numbers become float32.
  Labels are encoded by their sorted names (see `encoding.encode_labels`),
  unless an .npz file has `class_names`. Numbers to predict become float32.

  Args:
    location: path of the file. Its extension determines the format; IDX is
      `x.idx`, or `train-images-idx3-ubyte` as in MNIST, maybe with `.gz`.
    inputs: .npz: key of the inputs. If None, usual pairs such as `x` and `y` or
      `images` and `labels` are tried: plain (no test split), with `_train` and
      `_test` (`x_train`), or with `train_` and `test_` (`train_images`). The
      latter two may come with `val` or `validation`.
    targets: .npz: key of the targets. .npy, IDX: file of the targets. CSV,
      Parquet: column or columns of numbers to predict, instead of `target`:
      `('x', 'y')`.
    scale: known unit of numbers to predict (see `Vector`), not a statistic of
      the targets. .npz, .npy, IDX: if given, targets are numbers, [N] or
      [N, D]; if None, they are classes. CSV, Parquet: unit of `targets`; if
      None, 1.
    test_inputs: .npz: key of the test inputs. .npy, IDX: their file.
    test_targets: .npz: key of the test targets. .npy, IDX: their file.
    target: CSV, Parquet: column of labels, by name or position. If None, the
      last.
    features: CSV, Parquet: columns of inputs. If None, all but those of
      targets, ids and index.
    index_col: CSV, Parquet: column that numbers the rows and is not an input,
      such as pandas writes. If None, an unnamed column raises an error.
    test: CSV, Parquet: second file, with the same columns.
    classes: names of the classes, if the examples are unlabelled. All columns
      but `ids` and `index_col` are then inputs.
    header: CSV: see `delimited.open_csv`.
    delimiter: CSV: see `delimited.open_csv`.
    ids: column, key, .npy or IDX file with the ids of the examples. If files of
      arrays have a test split, the ids of the training examples. If None, row
      numbers, which continue from the training to the test split.
    missing: treatment of gaps in tables: `'median'`, `'mean'`, `'draw'`,
      `'drop'`, or a dict of these by column; see `columns.Declared`. Targets
      are never filled.
    categories: treatment of text in tables: `'one_hot'`, a list of columns, or
      a dict by column; see `columns.Declared`.
    test_fraction: share to hold out if there is no test split.
    split_seed: seed for the values that `missing` draws, and for the shuffle if
      there is no test split.
    max_train: maximum number of training examples if there is no test split.
      If None, all that are left.

  Returns:
    RawData, named after the file.

  Raises:
    FileNotFoundError: If there is no such file.
    ModuleNotFoundError: If Parquet lacks the extra `parquet`.
    ValueError: If an option does not fit the file, or the file is not readable.
  """
  path = Path(location).expanduser()
  given = {
    'inputs': inputs,
    'targets': targets,
    'scale': scale,
    'test_inputs': test_inputs,
    'test_targets': test_targets,
    'target': target,
    'features': features,
    'index_col': index_col,
    'test': test,
    'header': header,
    'delimiter': delimiter,
    'ids': ids,
    'missing': missing,
    'categories': categories,
  }
  kind = _check_kind(path, given)
  protocol = splits.SplitProtocol(test_fraction, split_seed, max_train)
  protocol.check()
  task = splits.unlabelled_task(
    classes, protocol, **{option: given[option] for option in _LABELS}
  )
  given = {option: given[option] for option in _OPTIONS[kind]}
  scale = _take_scale(given)
  declared = Declared(*(given.pop(option) for option in _GAP_OPTIONS))
  reader = _read_parts if task is None else _read_unlabelled
  parts, class_names, table = reader(kind, path, declared, given)
  raw = splits.assemble(
    path.stem.removesuffix('.idx'),
    parts,
    protocol if task is None else None,
    is_image=getattr(parts['train'].inputs, 'ndim', 2) == 4,
    class_names=class_names,
    scale=scale,
    task=task,
  )
  return raw if table is None else filling.settle(raw, table, seed=split_seed)


def _read_parts(kind: str, path: Path, declared: Declared, given: dict):
  """Reads the splits; also returns class names and Table, or None each."""
  class_names, table = None, None
  if kind == '.npz':
    parts, class_names = arrays.read_npz(path, **given)
  elif kind in ('.npy', '.idx'):
    parts = arrays.read_separate(path, **given)
  else:
    parts, table = _read_table(kind, path, declared, given)
  if 'target' not in given:
    table = columns.of_arrays(str(path), parts, declared)
  return parts if table is None else table.parts, class_names, table


def _read_unlabelled(kind: str, path: Path, declared: Declared, given: dict):
  """Does the work of `_read_parts` for unlabelled examples."""
  if 'target' not in given:
    part = arrays.read_inputs(path, given.get('inputs'), given['ids'])
    parts = {'train': part}
    table = columns.of_arrays(str(path), parts, declared)
  else:
    # No column is a target.
    parts, table = _read_table(kind, path, declared, {**given, 'targets': ()})
  parts = parts if table is None else table.parts
  return {'train': parts['train']._replace(labels=None)}, None, table


def kind_of(path: Path) -> str | None:
  """Returns the kind of a file by its name, or None if it is not known."""
  kind = '.idx' if idx.is_idx(path) else path.suffix.lower()
  return kind if kind in _OPTIONS else None


def _check_kind(path: Path, given: dict) -> str:
  """Returns the kind of a file after checking the file and its options."""
  kind = kind_of(path)
  if path.suffix.lower() == '.gz' and kind is None:
    raise ValueError(
      f'{path} is compressed, which only IDX files (x.idx.gz) may be. Unpack '
      'it first: gunzip --keep'
    )
  if kind is None:
    raise errors.unknown_name(
      f'{path}: the file extension', path.suffix.lower(), _OPTIONS
    )
  if not path.is_file():
    where = '' if path.is_absolute() else f' in {Path.cwd()}'
    raise FileNotFoundError(f'There is no file {path}{where}.')
  for option, value in given.items():
    if value is not None and option not in _OPTIONS[kind]:
      raise ValueError(
        f'{option}={value!r} is not an option of {kind} files, which have '
        f'{", ".join(_OPTIONS[kind])}.'
      )
  return kind


def _take_scale(given: dict) -> float | None:
  """Removes the scale from the options; returns None for classes."""
  scale, targets = given.pop('scale'), given['targets']
  errors.check_number('scale', scale, above=0, optional=True)
  is_list = isinstance(targets, Sequence) and not isinstance(targets, str)
  if 'target' not in given:
    if is_list:
      raise ValueError(
        f'targets={targets!r} must be one key or file, with all numbers to '
        'predict in one array [N, D].'
      )
    return scale
  if targets is None:
    if scale is not None:
      raise ValueError(
        f'scale={scale!r} needs targets, the columns of numbers to predict: '
        "targets=('x', 'y')."
      )
    return None
  if given['target'] is not None:
    raise ValueError(
      f'target={given["target"]!r} is a column of classes, and targets='
      f'{targets!r} are columns of numbers to predict; give one of the two.'
    )
  if is_list and not targets:
    raise ValueError(f'targets={targets!r} must name one or more columns.')
  given['targets'] = targets if is_list else (targets,)
  return 1.0 if scale is None else scale


def _read_table(kind: str, path: Path, declared: Declared, given: dict):
  """Reads the splits of a table; also returns its Table, or None."""
  if kind == '.parquet':
    return _read_tables(parquet.open_parquet, path, declared, **given)
  return _read_csv(path, declared, **given)


def _read_csv(path: Path, declared: Declared, *, header, delimiter, **options):
  """Reads the splits of CSV or TSV files."""
  if delimiter is None and path.suffix.lower() == '.tsv':
    delimiter = '\t'

  def open_table(path):
    return delimited.open_csv(path, header=header, delimiter=delimiter)

  return _read_tables(open_table, path, declared, **options)


def _read_tables(
  open_table: Callable[[Path], tables.TableFile],
  path: Path,
  declared: Declared,
  *,
  target: tables.Column | None,
  targets: Sequence[tables.Column] | None,
  features: Sequence[tables.Column] | None,
  test: str | None,
  ids: tables.Column | None,
  index_col: tables.Column | None,
) -> tuple[dict[str, splits.Part], columns.Table | None]:
  """Reads a table, and a test table with the columns chosen in the first."""
  table = open_table(path)
  read = tables.read_columns if declared.anything else tables.read_examples
  found = read(
    table,
    target=target,
    targets=targets,
    features=features,
    ids=ids,
    index_col=index_col,
  )
  parts = {'train': splits.Part(found.inputs, found.labels, found.ids)}
  names, from_columns = found.features, found.targets
  if test is not None:
    found = read(
      open_table(arrays.find_file(path, test)),
      target=table.names[-1] if target is None else target,
      targets=targets,
      features=names,
      ids=ids,
    )
    parts['test'] = splits.Part(found.inputs, found.labels, found.ids)
  if not declared.anything:
    return parts, None
  return parts, columns.prepare(
    str(path),
    parts,
    names,
    declared,
    targets=from_columns,
    is_text=table.is_text,
  )
