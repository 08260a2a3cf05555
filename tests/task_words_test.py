"""Nothing but tasks, heads and what needs classes asks what is predicted."""

import ast
import re

from tests.rooms_test import MODULES, room_of

# They are of classes, or say what they need.
MAY_ASK = ('tasks', 'models', 'strategies', 'kernels')
TASKS = {'Classes', 'Vector', 'Keypoints', 'Box', 'Mixed'}
WORD = re.compile(r'(.*\.)?accuracy')
# By module and word, the reason.
EXCEPTIONS = {
  ('learners.joint', 'accuracy'): 'needs classes; what its training watches',
  ('learners.label_propagation', '.num_classes'): 'needs classes; its own',
  ('loop.recording', 'accuracy'): 'protocol.target_accuracy and test_accuracy',
  ('training.course', 'accuracy'): 'stop.train_accuracy',
}


def strings_that_are_docs(tree):
  return {
    id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
  }


def words_of(path):
  """What a file asks of tasks, in its code."""
  tree = ast.parse(path.read_text())
  docs = strings_that_are_docs(tree)
  for node in ast.walk(tree):
    match node:
      case ast.Call(func=ast.Name('isinstance'), args=[_, kinds]):
        names = re.findall(r'\w+', ast.unparse(kinds))
        yield from (f'isinstance {name}' for name in TASKS & set(names))
      case ast.Attribute(attr='num_classes' | 'accuracy' as name):
        yield f'.{name}'
      case ast.keyword(arg='accuracy' as name):
        yield name
      case ast.Constant(str(text)) if id(node) not in docs:
        if WORD.fullmatch(text):
          yield text


def test_nobody_else_asks_which_task_it_is():
  found = {
    (module.removeprefix('al_jax.'), word)
    for module, path in MODULES.items()
    if module != 'al_jax' and room_of(module) not in MAY_ASK
    for word in words_of(path)
  }
  assert found == set(EXCEPTIONS)
  assert len(EXCEPTIONS) <= 8
