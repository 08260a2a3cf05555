import numpy as np
import PIL.Image
import pytest
from sklearn import datasets

from al_jax import plotting
from al_jax.tasks import Metric
from tests.factories import a_record


def rising_curves(systems, *, seeds=3):
  return [
    a_record(
      system, seed, labels, 1 - (0.5 - 0.05 * number + 0.01 * seed) / labels
    )
    for number, system in enumerate(systems)
    for seed in range(seeds)
    for labels in (1, 2, 3)
  ]


def pixels(path):
  return np.asarray(PIL.Image.open(path).convert('RGB'))


def colours(path):
  return {tuple(colour) for colour in pixels(path).reshape(-1, 3)}


def some_digits(rows, picks):
  digits = datasets.load_digits()
  positions = np.arange(rows * picks).reshape(rows, picks)
  images = [digits.images[row] for row in positions]
  titles = [[str(digits.target[i]) for i in row] for row in positions]
  return images, titles


def test_learning_curves_draw_each_system_in_its_colour(tmp_path):
  path = tmp_path / 'curves.png'
  plotting.learning_curves(rising_curves(['random', 'margin']), path)
  assert pixels(path).shape == (840, 1280, 3)
  blue, vermilion, green = (0, 114, 178), (213, 94, 0), (0, 158, 115)
  assert {blue, vermilion} <= colours(path)
  assert green not in colours(path)
  assert list(tmp_path.iterdir()) == [path]


def test_a_band_shows_the_standard_error_only_where_there_is_one(tmp_path):
  one, three = tmp_path / 'one.png', tmp_path / 'three.png'
  plotting.learning_curves(rising_curves(['random'], seeds=1), one)
  plotting.learning_curves(rising_curves(['random']), three)
  # The palette's blue at 20% over white.
  band = (204, 227, 240)

  def band_size(path):
    return int(np.all(abs(pixels(path) - np.array(band)) <= 2, axis=-1).sum())

  assert band_size(three) > 10 * max(band_size(one), 20)


def test_many_systems_and_another_metric_are_drawn(tmp_path):
  path = tmp_path / 'curves.svg'
  plotting.learning_curves(
    rising_curves([f'system {i}' for i in range(10)]),
    path,
    metric=Metric('test.log_loss', '', False),
    title='ten systems',
  )
  text = path.read_text()
  for part in ('test log loss', 'labels paid for', 'ten systems', 'system 9'):
    assert part in text


def test_labels_of_a_machine_are_not_paid_for(tmp_path):
  rows = [a_record('hybrid', labels=n, ledger={'machine': n}) for n in (0, 9)]
  figure = plotting.learning_curves(rows)
  assert figure.axes[0].get_xlabel() == 'labels'


def test_a_title_over_one_picture_is_not_cut_off(tmp_path):
  images, titles = some_digits(1, 1)
  path = tmp_path / 'one.png'
  title = 'bgadl+entropy, seed 0, round 10'
  plotting.gallery(images, titles, path, row_titles=['query 1'], title=title)
  # White at the right edge.
  assert np.all(pixels(path)[:, -8:] == 255)


def test_no_records_and_an_unknown_format_are_refused(tmp_path):
  with pytest.raises(ValueError, match='round_records is empty'):
    plotting.learning_curves([], tmp_path / 'curves.png')
  with pytest.raises(ValueError, match=r"'pgn' is not known.*'png'"):
    plotting.learning_curves(rising_curves(['a']), tmp_path / 'curves.pgn')
  assert list(tmp_path.iterdir()) == []


def test_a_failed_plot_leaves_the_old_one(tmp_path):
  path = tmp_path / 'curves.png'
  plotting.learning_curves(rising_curves(['random']), path)
  before = path.read_bytes()
  with pytest.raises(ValueError, match='not known'):
    unknown = Metric('accuracy', '%', True)
    plotting.learning_curves(rising_curves(['random']), path, metric=unknown)
  assert path.read_bytes() == before
  assert list(tmp_path.iterdir()) == [path]


def test_the_gallery_has_a_row_per_round_and_at_most_the_columns(tmp_path):
  images, titles = some_digits(3, 15)
  small, large = tmp_path / 'small.png', tmp_path / 'large.png'
  plotting.gallery(images[:1], titles[:1], small, row_titles=['a'], columns=4)
  plotting.gallery(images, titles, large, row_titles=['a', 'b', 'c'])
  (low, narrow), (high, wide) = (
    pixels(path).shape[:2] for path in (small, large)
  )
  # Two more rows of 0.9 inches, eight more columns of 0.72, 200 dots an inch.
  assert abs(high - low - 360) <= 2
  assert abs(wide - narrow - 1152) <= 2
  assert sorted(tmp_path.iterdir()) == [large, small]


def test_long_captions_are_wrapped_and_the_rows_grow(tmp_path):
  images, _ = some_digits(1, 2)
  height = {}
  for name, caption in {
    'one': 'class 7',
    # Three lines: `class 7, box`, `12, 20, 44,` and `50`.
    'three': 'class 7, box 12, 20, 44, 50',
    'four': ', '.join(map(str, range(100))),
  }.items():
    path = tmp_path / f'{name}.png'
    plotting.gallery(images, [[caption, '']], path, row_titles=[''])
    height[name] = pixels(path).shape[0]
  # A line is 0.11 inches, 200 dots an inch.
  assert abs(height['three'] - height['one'] - 44) <= 1
  assert abs(height['four'] - height['one'] - 66) <= 1


def test_the_gallery_shows_the_very_pixels(tmp_path):
  images, titles = some_digits(1, 1)
  path = tmp_path / 'gallery.png'
  plotting.gallery(images, titles, path, row_titles=[''])
  # The picture is 0.648 inches wide, with its left upper corner at these dots.
  corner, cell = np.array([0.1 + 0.036, 1.1 + 0.036]) * 200, 0.648 * 200 / 8
  centres = (corner[:, None] + cell * (np.arange(8) + 0.5)).astype(int)
  shown = pixels(path)[np.ix_(*centres)][..., 0]
  low, high = images[0][0].min(), images[0][0].max()
  expected = np.round((images[0][0] - low) / (high - low) * 255)
  np.testing.assert_allclose(shown, expected, atol=1)


def coloured(path):
  """Where the picture is neither grey nor white: a row and a column each."""
  return np.argwhere(np.ptp(pixels(path)[..., :3].astype(int), axis=-1) > 60)


def test_marks_lie_on_their_picture(tmp_path):
  images = np.zeros((1, 2, 8, 8), np.uint8)
  path = tmp_path / 'gallery.png'
  # The second picture has no mark; the last corner is far outside.
  line = np.array([[0.25, 0.5], [9, 0.5]])
  for marks in ({'true_marks': [[[line]]]}, {'predicted_marks': [[[line]]]}):
    plotting.gallery(images, [['a', 'b']], path, row_titles=['r'], **marks)
    found = coloured(path)
    # 0.648 inches wide, from these dots on: see the test above.
    left, top, width = (1.1 + 0.036) * 200, (0.1 + 0.036) * 200, 0.648 * 200
    assert abs(found[:, 0] - (top + width / 2)).max() <= 3
    assert abs(found[:, 1].min() - (left + width / 4)) <= 4
    assert found[:, 1].max() <= left + width + 3
  plotting.gallery(images, [['a', 'b']], path, row_titles=['r'])
  assert not len(coloured(path))
  with pytest.raises(ValueError, match='true_marks has 2 rows and images 1'):
    plotting.gallery(
      images, [['a', 'b']], path, row_titles=['r'], true_marks=[[], []]
    )


@pytest.mark.parametrize('channels', [(), (1,), (3,)])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_grey_and_colour_of_either_type_are_shown(tmp_path, channels, dtype):
  generator = np.random.default_rng(0)
  images = generator.integers(0, 256, (2, 3, 5, 4, *channels)).astype(dtype)
  path = tmp_path / 'gallery.png'
  plotting.gallery(
    images, [['a'] * 3, ['a very long name'] * 3], path, row_titles=['r', 's']
  )
  in_colour = np.ptp(pixels(path).astype(int), axis=-1) > 30
  assert in_colour.any() == (channels == (3,))
  assert len(colours(path)) > 30


def test_not_finite_and_constant_pictures_are_drawn(tmp_path):
  images = np.full((1, 2, 4, 4), 0.5, np.float32)
  path = tmp_path / 'gallery.png'
  plotting.gallery(images, [['a', 'b']], path, row_titles=['r'])
  images[0, 0] = [[np.nan, np.inf, -np.inf, 1.0]] * 4
  plotting.gallery(images, [['a', 'b']], path, row_titles=['r'])
  plotting.gallery(images * np.nan, [['a', 'b']], path, row_titles=['r'])
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
  ('images', 'titles', 'row_titles', 'message'),
  [
    ([], [], ['a'], 'images has 0 rows, titles 0 and row_titles 1'),
    ([[np.zeros((2, 2))]], [['a', 'b']], ['r'], r'images\[0\] has 1 picture'),
    ([[]], [[]], ['r'], 'at least one picture'),
    ([[np.zeros(4)]], [['a']], ['r'], r'shape \(4,\)'),
    ([[np.zeros((2, 2, 2))]], [['a']], ['r'], r'shape \(2, 2, 2\)'),
  ],
)
def test_rows_that_do_not_fit_are_refused(
  tmp_path, images, titles, row_titles, message
):
  with pytest.raises(ValueError, match=message):
    plotting.gallery(
      images, titles, tmp_path / 'gallery.png', row_titles=row_titles
    )


def test_no_pyplot_figure_is_left_open(tmp_path):
  import matplotlib.pyplot

  plotting.learning_curves(rising_curves(['random']), tmp_path / 'curves.png')
  assert matplotlib.pyplot.get_fignums() == []


def test_a_dollar_sign_is_drawn_as_it_is(tmp_path):
  images, _ = some_digits(1, 2)
  plotting.gallery(
    images,
    [['$a_{$', 'cat/dog']],
    tmp_path / 'gallery.png',
    row_titles=['$\\foo$'],
    title='$x$: queries of $\\foo$',
    subtitle='$_{$',
  )
  figure = plotting.learning_curves(
    rising_curves(['random']), tmp_path / 'curves.png', title='$\\foo$'
  )
  figure.savefig(tmp_path / 'again.png')
