"""Lists the picture files of a folder, with their classes and splits."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import PIL.Image

from al_jax.data.sources import delimited

_SPLIT_FOLDERS = {
  'train': 'train',
  'test': 'test',
  'validation': 'validation',
  'val': 'validation',
}


class Listing(NamedTuple):
  """Picture files of one split, with their labels and ids."""

  paths: list[Path]
  labels: list[str]
  ids: list[str]


def by_class(folder: Path, test: str | None) -> dict[str, Listing]:
  """Lists a folder that is laid out by class.

  Args:
    folder: folder with class folders, or with split folders that hold them.
    test: a second folder with class folders, or None.

  Returns:
    Listings by split.

  Raises:
    FileNotFoundError: If there is no folder `test`.
    ValueError: If a class has no picture, or a class folder is or has a link.
  """
  inside = {path.name for path in folder.iterdir() if path.is_dir()}
  inside = {name for name in inside if not name.startswith('.')}
  # Folders train and car are two classes; train and test are two splits if
  # there are folders in train.
  is_split = (
    'train' in inside
    and inside <= set(_SPLIT_FOLDERS)
    and any(path.is_dir() for path in (folder / 'train').iterdir())
  )
  if is_split:
    listings = {}
    for name in sorted(inside):
      _refuse_link(folder / name)
      split = _SPLIT_FOLDERS[name]
      listings[split] = _list_by_class(folder / name, folder)
  else:
    listings = {'train': _list_by_class(folder, folder)}
  if test is not None:
    if 'test' in listings:
      raise ValueError(f'test={test!r}: {folder} has a folder test already.')
    test_folder = Path(test).expanduser()
    if not test_folder.is_dir():
      raise FileNotFoundError(f'test: there is no folder {test_folder}.')
    listings['test'] = _list_by_class(test_folder, test_folder.parent)
  return listings


def _list_by_class(folder: Path, root: Path) -> Listing:
  """Lists the pictures below the class folders in `folder`, by name."""
  classes = sorted(
    path
    for path in folder.iterdir()
    if path.is_dir() and not path.name.startswith('.')
  )
  if not classes:
    raise ValueError(
      f'{folder} has no class folders. If a file has the labels, name it with '
      'the option labels.'
    )
  listing = Listing([], [], [])
  for class_folder in classes:
    _refuse_link(class_folder)
    pictures = _pictures_below(class_folder)
    if not pictures:
      raise ValueError(f'The class folder {class_folder} has no picture in it.')
    listing.paths.extend(pictures)
    listing.labels.extend([class_folder.name] * len(pictures))
    listing.ids.extend(path.relative_to(root).as_posix() for path in pictures)
  return listing


def _pictures_below(folder: Path) -> list[Path]:
  """Returns all pictures below a folder, at any depth, sorted by path."""
  extensions = _readable_extensions()
  found = []
  for place, folders, names in os.walk(folder):
    for name in folders:
      _refuse_link(Path(place, name))
    for name in names:
      path = Path(place, name)
      if path.suffix.lower() in extensions and not name.startswith('.'):
        _refuse_link(path)
        found.append(path)
  return sorted(found)


def _refuse_link(path: Path) -> None:
  """Raises ValueError for a link, since it may lead anywhere."""
  if path.is_symlink():
    raise ValueError(
      f'{path} is a link to {os.readlink(path)}; links inside a folder of '
      'pictures are not followed. Put a copy in its place, or remove it.'
    )


def _readable_extensions() -> set[str]:
  """Returns the extensions that Pillow reads; some, as PDF, it only writes."""
  return {
    extension
    for extension, kind in PIL.Image.registered_extensions().items()
    if kind in PIL.Image.OPEN
  }


def labelled(folder: Path, labels: str) -> Listing:
  """Lists the pictures that a labels file names.

  Args:
    folder: folder of the pictures; names in the file are relative to it.
    labels: labels file, in the working directory or in the folder.

  Returns:
    The pictures in the order of the file.

  Raises:
    FileNotFoundError: If the labels file or a picture does not exist.
    ValueError: If a name leads out of the folder, is there twice, or is a link.
  """
  candidates = [Path(labels).expanduser(), folder / labels]
  found = next((path for path in candidates if path.is_file()), None)
  if found is None:
    raise FileNotFoundError(
      f'There is no labels file {labels}, neither in the working directory '
      f'nor in {folder}.'
    )
  table = delimited.open_csv(found, header=True)
  if (folder / table.names[0]).is_file():
    table = delimited.open_csv(found, header=False)
  columns = [0, 1]
  if {'filename', 'label'} <= set(table.names):
    columns = [table.names.index('filename'), table.names.index('label')]
  elif len(table.names) < 2:
    raise ValueError(f'{found} has one column; it needs filename and label.')
  _, (ids, names) = table.read([], columns)
  listing = Listing([folder / name for name in ids], list(names), list(ids))
  first_rows: dict[Path, int] = {}
  for row, path in enumerate(listing.paths):
    where = f'{found}, row {row} (counted from 0), names {ids[row][:99]!r}'
    try:
      _refuse_outside(folder, ids[row], where)
      is_file = path.is_file()
    except OSError as error:  # Such as a name that is too long.
      raise ValueError(f'{where}: {error.strerror}.') from error
    if not is_file:
      raise FileNotFoundError(f'{where}; there is no file {path}.')
    if path in first_rows:
      raise ValueError(
        f'{where}, as row {first_rows[path]} does; a picture has one label.'
      )
    first_rows[path] = row
  return listing


def _refuse_outside(folder: Path, name: str, where: str) -> None:
  """Raises ValueError if a name leads out of the folder or is a link."""
  inside = Path(name)
  if inside.is_absolute() or '..' in inside.parts:
    raise ValueError(
      f'{where}, which may be outside {folder}; names are paths below it, '
      "without '..'."
    )
  for above in (inside, *inside.parents[:-1]):
    _refuse_link(folder / above)


def everything(folder: Path) -> Listing:
  """Lists all pictures of an unlabelled folder.

  Args:
    folder: folder with pictures at any depth.

  Returns:
    A Listing without labels, sorted by path.

  Raises:
    ValueError: If there is no picture, or there is a link.
  """
  paths = _shown_below(folder)
  if not paths:
    raise ValueError(f'{folder} has no picture in it.')
  ids = [path.relative_to(folder).as_posix() for path in paths]
  return Listing(paths, [], ids)


def _shown_below(folder: Path) -> list[Path]:
  """Returns pictures below a folder whose path has no hidden part."""
  return [
    path
    for path in _pictures_below(folder)
    if not any(part.startswith('.') for part in path.relative_to(folder).parts)
  ]


def unlabelled(
  folder: Path, listings: Mapping[str, Listing], rule: str
) -> tuple[str, ...]:
  """Finds the pictures of a folder that no labels file names.

  Args:
    folder: folder of all pictures.
    listings: pictures that the labels files name, by split.
    rule: `'refuse'` or `'drop'`.

  Returns:
    One remark on the pictures left out, or none.

  Raises:
    ValueError: If there are such pictures and the rule is `'refuse'`.
  """
  named = {path for listing in listings.values() for path in listing.paths}
  shown = _shown_below(folder)
  left = [path for path in shown if path not in named]
  if not left:
    return ()
  found = (
    f'{len(left):,} of the {len(shown):,} pictures in {folder} are not in '
    f'the labels file'
  )
  if rule == 'refuse':
    raise ValueError(
      f'{found}, such as {left[0].relative_to(folder).as_posix()!r}; '
      "unlabeled='drop' leaves them out."
    )
  return (f"{found} and are left out (unlabeled='drop').",)
