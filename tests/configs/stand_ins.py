"""Data sets that may not be there, made up in the shape of the real ones.

Columns, their kinds and classes are those of OpenML 6, 155, 156 and 184 and of
TFDS's svhn_cropped and cifar100; rows are fewer, and mean nothing.
"""

import gzip
import hashlib
import io
import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

_ROWS = 2_600


class Table(NamedTuple):
  """Of OpenML.

  Attributes:
    name: the set's.
    columns: of each but the target its values, None if it is numeric.
    classes: values of the target.
  """

  name: str
  columns: Sequence[Sequence[str] | None]
  classes: Sequence[str]


_SUITS = ('1', '2', '3', '4')
_FILES = tuple('abcdefgh')
_RANKS = tuple('12345678')
TABLES = {
  6: Table('letter', (None,) * 16, tuple('ABCDEFGHIJKLMNOPQRSTUVWXYZ')),
  155: Table('pokerhand', (_SUITS, None) * 5, tuple('0123456789')),
  156: Table(
    'RandomRBF_0_0', (None,) * 10, tuple(f'class{n}' for n in '12345')
  ),
  184: Table(
    'kropt',
    (_FILES[:4], _RANKS[:4], _FILES, _RANKS, _FILES, _RANKS),
    (
      *('draw', 'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven'),
      *('eight', 'nine', 'ten', 'eleven', 'twelve', 'thirteen', 'fourteen'),
      *('fifteen', 'sixteen'),
    ),
  ),
}


def write_openml(data_home: pathlib.Path) -> None:
  """A folder of scikit-learn's data with every table in its cache."""
  for number, table in TABLES.items():
    _write_table(data_home / 'openml' / 'openml.org', number, table)


def _write_table(root, number, table):
  kinds = [*table.columns, table.classes]
  names = [*(f'x{place}' for place in range(len(table.columns))), 'y']
  arff = _arff(table.name, names, kinds)
  path = f'data/v1/download/{number}'
  description = {
    'id': str(number),
    'name': table.name,
    'version': '1',
    'description': 'Made for a test.',
    'format': 'ARFF',
    'status': 'active',
    'file_id': str(number),
    'url': f'https://www.openml.org/{path}',
    'md5_checksum': hashlib.md5(arff).hexdigest(),
    'default_target_attribute': 'y',
  }
  features = [
    {
      'index': str(index),
      'name': name,
      'data_type': 'numeric' if kind is None else 'nominal',
      'is_target': json.dumps(name == 'y'),
      'is_ignore': 'false',
      'is_row_identifier': 'false',
      'number_of_missing_values': '0',
    }
    for index, (name, kind) in enumerate(zip(names, kinds, strict=True))
  ]
  quality = [{'name': 'NumberOfInstances', 'value': str(_ROWS)}]
  for place, content in (
    (f'data/{number}', {'data_set_description': description}),
    (f'data/features/{number}', {'data_features': {'feature': features}}),
    (f'data/qualities/{number}', {'data_qualities': {'quality': quality}}),
  ):
    _save(root / f'api/v1/json/{place}.gz', json.dumps(content).encode())
  _save(root / f'{path}.gz', arff)


def _arff(name, names, kinds):
  """The table as OpenML sends it; every class is there."""
  rng = np.random.default_rng(0)
  columns = [
    np.round(rng.normal(size=_ROWS), 3).astype(str)
    if kind is None
    else rng.permutation(np.resize(kind, _ROWS))
    for kind in kinds
  ]
  lines = [f'@RELATION {name}']
  for column, kind in zip(names, kinds, strict=True):
    values = 'NUMERIC' if kind is None else '{' + ','.join(kind) + '}'
    lines.append(f'@ATTRIBUTE {column} {values}')
  lines.append('@DATA')
  lines += [','.join(row) for row in zip(*columns, strict=True)]
  return ('\n'.join(lines) + '\n').encode()


def _save(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(gzip.compress(content, compresslevel=1))


def _png(image):
  """A file: TFDS encodes arrays with TensorFlow."""
  file = io.BytesIO()
  PIL.Image.fromarray(image).save(file, 'PNG', compress_level=1)
  file.seek(0)
  return file


# TFDS has builders of these names, and allows one of each.
with tfds.core.registered.skip_registration():

  class SvhnCropped(tfds.core.GeneratorBasedBuilder):
    """Coloured noise with ten classes."""

    VERSION = tfds.core.Version('3.1.0')
    TRAIN = 2_100
    LABELS = (('label', 10),)

    def _info(self):
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(
          {
            'image': tfds.features.Image(shape=(32, 32, 3)),
            **{
              name: tfds.features.ClassLabel(num_classes=count)
              for name, count in self.LABELS
            },
          }
        ),
        supervised_keys=('image', 'label'),
      )

    def _split_generators(self, download_manager):
      return {
        'train': self._generate_examples(0, self.TRAIN),
        'test': self._generate_examples(1, 510),
      }

    def _generate_examples(self, seed, size):
      rng = np.random.default_rng(seed)
      for number in range(size):
        # Blocks of one colour: noise would take longer to compress.
        coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
        image = np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)
        labels = {name: number % count for name, count in self.LABELS}
        yield number, {'image': _png(image), **labels}

  class Cifar100(SvhnCropped):
    """Coloured noise with a hundred classes, of twenty kinds."""

    VERSION = tfds.core.Version('3.0.2')
    # The first set of labels and five rounds have to be there.
    TRAIN = 2_600
    LABELS = (('label', 100), ('coarse_label', 20))


def write_pictures(data_dir: pathlib.Path) -> None:
  """A folder of TFDS with svhn_cropped and cifar100 in it."""
  for builder in (SvhnCropped, Cifar100):
    builder(
      data_dir=data_dir, file_format='array_record'
    ).download_and_prepare()
