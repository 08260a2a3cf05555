"""Files of answers: each form, and every fault, all of them at once."""

import json
import pathlib

import pytest

from al_jax.labelling import account, answers
from al_jax.labelling.account import Answer

IDS = ('a', 'b', 'c', 'd')


def project(*told, asked=('a', 'b', 'c')):
  """The account of a project that asked these, and was told these."""
  events = [
    {
      'event': 'begun',
      'pool': {'source': ''},
      'classes': ['cat', 'dog'],
      'config': {},
    },
    {'event': 'asked', 'at': '', 'ids': list(asked), 'config': {}, 'said': {}},
  ]
  events += [
    {'event': 'told', 'at': '', 'answers': [list(each)]} for each in told
  ]
  return account.of(pathlib.Path('state'), events)


def written(tmp_path, name, text):
  path = tmp_path / name
  path.write_text(text, encoding='utf-8')
  return path


@pytest.mark.parametrize(
  ('name', 'text'),
  [
    ('x.csv', 'id,label,predicted\na,cat,dog\nb,,dog\nc, dog ,\n'),
    ('x.csv', '\ufeffid;label\r\na;cat\r\nb;\r\nc;dog\r\n'),
    ('x.tsv', 'label\tid\ncat\ta\n\tb\ndog\tc\n'),
    (
      'x.jsonl',
      '{"id": "a", "label": "cat"}\n\n{"id": "b", "label": null}\n'
      '{"id": "c", "label": "dog"}\n',
    ),
  ],
)
def test_files_give_what_is_filled_in(tmp_path, name, text):
  found = answers.read(written(tmp_path, name, text), annotator='ann')

  assert [(each.id, each.label, each.annotator) for each in found] == [
    ('a', 'cat', 'ann'),
    ('c', 'dog', 'ann'),
  ]


def test_a_cell_may_have_a_line_end_and_a_file_names_annotators(tmp_path):
  text = 'id,label,annotator\n"x\ny",cat,ben\nb,dog,\n'

  found = answers.read(written(tmp_path, 'x.csv', text), annotator='ann')

  assert found[0][:3] == ('x\ny', 'cat', 'ben')
  assert found[1][:3] == ('b', 'dog', 'ann')


def test_whole_numbers_are_ids_however_they_are_written(tmp_path):
  text = '{"id": 7, "label": 1}\n{"id": 8.0, "label": "0"}\n'

  found = answers.read(written(tmp_path, 'x.jsonl', text), annotator='ann')

  assert [(each.id, each.label) for each in found] == [('7', '1'), ('8', '0')]


def exported(name, *annotations):
  return {
    'id': 5,
    'data': {'id_of_example': name, 'image': 'data:...'},
    'annotations': list(annotations),
  }


def annotation(*choices, by=1, cancelled=False):
  value = {'choices': list(choices)}
  return {
    'completed_by': by,
    'was_cancelled': cancelled,
    'result': [{'type': 'choices', 'from_name': 'label', 'value': value}]
    if choices
    else [],
  }


def test_an_export_of_label_studio(tmp_path):
  tasks = [
    exported('a', annotation('cat'), annotation('dog', by={'email': 'x@y'})),
    exported('b', annotation(cancelled=True)),
    exported('c', annotation()),
    exported('d'),
    {'id': 9, 'id_of_example': 'e', 'label': 'dog', 'annotator': 3},
  ]
  path = written(tmp_path, 'x.json', json.dumps(tasks))

  found = answers.read(path, annotator='ann')

  assert [each[:3] for each in found] == [
    ('a', 'cat', '1'),
    ('a', 'dog', 'x@y'),
    ('b', 'skip', '1'),
    ('c', 'unsure', '1'),
    ('e', 'dog', '3'),
  ]


def test_what_an_export_does_not_say_is_not_learnt(tmp_path):
  other = {
    'type': 'choices',
    'from_name': 'second_guess',
    'value': {'choices': ['dog']},
  }
  guessed = annotation('cat')
  guessed['result'].append(other)
  # Skipped, and then labelled after all.
  late = [annotation(cancelled=True), annotation('dog')]
  tasks = [
    exported('a', guessed),
    exported('b', annotation('salt', 'pepper')),
    exported('c', *late),
  ]
  for task in tasks:
    for each in task['annotations']:
      del each['completed_by']
  path = written(tmp_path, 'x.json', json.dumps(tasks))

  found = answers.read(path, annotator='ann')

  assert [each[:3] for each in found] == [
    ('a', 'cat', 'ann'),
    ('b', "['salt', 'pepper']", 'ann'),
    ('c', 'dog', 'ann'),
  ]


@pytest.mark.parametrize(
  ('name', 'text', 'said'),
  [
    ('x.csv', 'id,label\na,\n', 'has no answer'),
    ('x.csv', 'id,label\na,cat,b\n', 'line 2, has more cells'),
    ('x.csv', 'id,label,label\na,,\n', "has the column 'label' twice"),
    ('x.csv', '"id"x,label\n', 'expected after'),
    ('x.jsonl', '{"id": "a", "labels": "cat"}\n', 'has no answer'),
    ('x.json', '[{"id": 1, "sentiment": "cat"}]', 'is not a task of al_jax'),
    ('x.txt', '', 'must end in .csv, .tsv, .jsonl or .json'),
    ('x.csv', '', "no column 'id'; its columns are none"),
    ('x.csv', 'id,class\n1,2\n', "no column 'label'; its columns are id, cl"),
    ('x.csv', 'id,label\n"a,cat\n', 'unexpected end of data'),
    ('x.jsonl', '{"id": 1}\n{"id"', 'line 2, is not JSON'),
    ('x.jsonl', '[1]\n', "line 1, is not an object with an 'id'"),
    ('x.json', '{}', 'it must be a list of tasks'),
    ('x.json', '[{"annotations": []}]', 'task 1, is not a task of al_jax'),
    ('x.json', '[', 'is not JSON'),
  ],
)
def test_files_of_another_form_are_refused(tmp_path, name, text, said):
  with pytest.raises(ValueError, match=said):
    answers.read(written(tmp_path, name, text), annotator='ann')


def test_an_absent_file_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'no file .*x\.csv'):
    answers.read(tmp_path / 'x.csv', annotator='ann')


def test_answers_are_taken_once():
  now = project(('a', 'ann', 'cat'))
  given = [Answer('a', 'cat', 'ann'), Answer('b', 'skip', 'ann')] * 2

  found = answers.check(now, IDS, given, correct=False)

  assert found.new == given[1:2]
  assert found.again == 3
  assert not found.disputes


def test_all_faults_are_listed_at_once():
  now = project(('a', 'ann', 'cat'))
  given = [
    Answer('nix', 'cat', place='line 2'),
    Answer('d', 'cat', place='line 3'),
    Answer('b', 'cta', place='line 4'),
    Answer('c', 'cat', place='line 5'),
    Answer('c', 'dog', place='line 6'),
    Answer('a', 'dog', 'ann', place='line 7'),
    Answer('b', 'dog', place='line 8'),
  ]

  with pytest.raises(answers.AnswersError) as error:
    answers.check(now, IDS, given, correct=False)

  first, *faults, last = str(error.value).splitlines()
  assert first == '5 of 7 answers cannot be taken, and none was:'
  assert "line 2, id 'nix': the pool has no such example" in faults[0]
  assert "line 3, id 'd': it was never asked" in faults[1]
  assert "there is no class 'cta', perhaps 'cat'" in faults[2]
  assert "said 'cat' in line 5 and 'dog' here" in faults[3]
  assert last == 'A label is one of: cat, dog, skip, unsure.'
  assert "said 'cat' before and 'dog' here; --correct" in faults[4]


def test_many_faults_are_counted():
  given = [Answer(f'x{at}', 'cat') for at in range(50)]

  with pytest.raises(answers.AnswersError, match='  and 30 more'):
    answers.check(project(), IDS, given, correct=False)


def test_who_corrects_an_answer_says_so():
  now = project(('a', 'ann', 'cat'))
  given = [Answer('a', 'dog', 'ann')]

  assert answers.check(now, IDS, given, correct=True).new == given


def test_annotators_may_differ_and_a_majority_decides():
  now = project(('a', 'ann', 'cat'))
  found = answers.check(now, IDS, [Answer('a', 'dog', 'ben')], correct=False)

  assert found.disputes == [
    "id 'a': annotators differ: ann says 'cat', ben says 'dog'"
  ]
  two = project(('a', 'ann', 'cat'), ('a', 'ben', 'dog'))
  assert two.disputed == ['a']
  assert 'a' not in two.labels
  three = project(('a', 'ann', 'cat'), ('a', 'ben', 'dog'), ('a', 'cyd', 'dog'))
  assert three.labels == {'a': 'dog'}
  assert not three.disputed


def test_a_label_counts_more_than_one_who_cannot_tell():
  now = project(
    ('a', 'ann', 'skip'), ('a', 'ben', 'dog'), ('b', 'ann', 'unsure')
  )

  assert now.labels == {'a': 'dog'}
  assert now.without_label('skip') == []
  assert now.without_label('unsure') == ['b']
  assert now.pending == ['c']
