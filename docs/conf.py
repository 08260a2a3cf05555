"""Builds the site, see `make docs`.

Sources are the pages of docs/, the notebooks of colabs/ and the README, where
they are. `plain_to_rst` converts the plain text of docstrings to markup.
"""

import re

import al_jax

project = 'al_jax'
author = copyright = 'The al_jax authors'
version = release = al_jax.__version__

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
root_doc = 'docs/index'
include_patterns = [
  '*.md',
  'colabs/README.md',
  'colabs/*.ipynb',
  'docs/**.md',
]
html_theme = 'furo'
html_title = 'al_jax'

# Notebooks are committed with their output, which the tests compare.
nb_execution_mode = 'off'
myst_heading_anchors = 4

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
napoleon_attr_annotations = False
napoleon_use_ivar = True
napoleon_use_rtype = False

_SECTION = re.compile(r'(Args|Attributes|Raises|Returns|Yields):$')
_ENTRY = re.compile(r'( +\*{0,2}\w+:)(.*)$')
_MARKUP = re.compile(r'([\\*|`]|(?<=\w)_(?!\w))')


def plain_to_rst(app, what, name, obj, options, lines):
  """Converts a docstring in place, before Napoleon reads it.

  Keeps indented formulas and examples verbatim, renders `code` in backticks as
  code, and escapes all other markup.
  """
  del app, what, name, obj, options
  marked, in_section, in_block, in_example = [], False, False, False
  for line in lines:
    is_indented = line.startswith(' ')
    if line.startswith('>>>'):
      in_example = True
    elif not line.strip():
      in_example = False
    if in_example or not line.strip():
      marked.append(line)
      continue
    if not is_indented:
      in_section, in_block = bool(_SECTION.match(line)), False
    elif not in_section and not in_block and not marked[-1].strip():
      in_block = True
      marked += ['::', '']
    if in_block:
      marked.append(line)
    elif in_section and (entry := _ENTRY.match(line)):
      marked.append(entry[1] + _escaped(entry[2]))
    else:
      marked.append(_escaped(line))
  lines[:] = marked


def _escaped(text):
  """Returns plain text as markup, with `code` in pairs of backticks."""
  parts = text.split('`')
  if len(parts) % 2 == 0:
    parts = [text]  # A backtick without a partner is no markup.
  return ''.join(
    f'``{part}``' if number % 2 else _MARKUP.sub(r'\\\1', part)
    for number, part in enumerate(parts)
  )


def skip_fields(app, what, name, obj, skip, options):
  """Leaves out the fields of a class, which its docstring lists."""
  del app, name, options
  is_field = not callable(obj) and not isinstance(obj, property)
  return True if what == 'class' and is_field else skip


def setup(app):
  """Connects the functions above, `plain_to_rst` before Napoleon."""
  app.connect('autodoc-process-docstring', plain_to_rst, priority=400)
  app.connect('autodoc-skip-member', skip_fields)
