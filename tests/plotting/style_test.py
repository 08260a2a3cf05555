import numpy as np
import PIL.Image
import pytest

from al_jax.plotting import style


def test_twelve_systems_differ_in_colour_and_in_grey():
  styles = [style.line_style(number) for number in range(12)]
  assert len({style['color'] for style in styles}) == 12
  assert len({style['marker'] for style in styles}) == 12
  in_grey = {(style['marker'], str(style['linestyle'])) for style in styles}
  assert len(in_grey) == 12


def test_sixty_systems_have_a_style_each():
  styles = {str(style.line_style(number)) for number in range(60)}
  assert len(styles) == 60


def a_figure(entries):
  figure = style.new_figure(entries=entries)
  axes = figure.add_subplot()
  for number in range(entries):
    axes.plot([0, 1], [number, 1], label=f'system {number}')
  style.plain_axes(axes, 'the x', 'the y', 'the title')
  style.legend(figure, axes, title='what it is')
  return figure, axes


def test_a_long_legend_lies_below_the_axes():
  few, few_axes = a_figure(6)
  many, many_axes = a_figure(12)
  assert few_axes.get_legend() and not few.legends
  assert many.legends and not many_axes.get_legend()
  assert many.get_figheight() > few.get_figheight()
  many.draw_without_rendering()
  below = many.legends[0].get_window_extent()
  assert below.y1 <= many_axes.get_window_extent().y0
  assert below.x0 >= 0 and below.x1 <= many.bbox.width


def test_a_legend_of_nothing_is_none_and_its_order_can_be_chosen():
  figure, axes = a_figure(3)
  style.legend(figure, axes, order=[2, 0, 1])
  named = [text.get_text() for text in axes.get_legend().get_texts()]
  assert named == ['system 2', 'system 0', 'system 1']
  empty = style.new_figure()
  axes = empty.add_subplot()
  style.legend(empty, axes)
  assert axes.get_legend() is None


def test_axes_count_and_show_percent():
  figure, axes = a_figure(1)
  axes.set_xlim(0, 2000)
  style.count_axis(axes.xaxis)
  style.percent_axis(axes.yaxis)
  figure.draw_without_rendering()
  shown = [label.get_text() for label in axes.get_xticklabels()]
  assert '1,000' in shown
  assert axes.yaxis.get_major_formatter()(0.125) == '12.5%'


def test_a_file_is_of_its_suffix_and_the_same_each_time(tmp_path):
  paths = [tmp_path / name for name in ('a.svg', 'b.svg')]
  for path in paths:
    style.save(a_figure(2)[0], path)
  first, second = (path.read_bytes() for path in paths)
  assert first == second and b'the title' in first
  style.save(a_figure(2)[0], tmp_path / 'a.PNG')
  with PIL.Image.open(tmp_path / 'a.PNG') as image:
    assert image.format == 'PNG'
    assert np.asarray(image.convert('RGB'))[0, 0].tolist() == [255] * 3
  with pytest.raises(ValueError, match=r"'pgn' is not known.*'png'"):
    style.save(a_figure(2)[0], tmp_path / 'a.pgn')
